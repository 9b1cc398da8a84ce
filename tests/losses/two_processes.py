"""What one process of a data-parallel run does; a module of its own, so that a new process can import it."""

from __future__ import annotations

import os

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from st_mta.assistants.targets import AssistantTargets
from st_mta.filters import DynamicFilter
from st_mta.losses import (
    AttentionMSELoss,
    ExitsLoss,
    FilteredContrastiveLoss,
    HeadsLoss,
    HiddenStateMSELoss,
    LayerDistillationLoss,
    ListwiseKLLoss,
    MultiLevelDistillationLoss,
)
from tests.losses.conftest import LABEL, PASSAGES, QUERIES
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer


def make_losses(student, teacher, bi_encoder):
    """Losses whose gradient must not depend on how many processes share the batch."""
    gathered = {"filter": DynamicFilter(relative_margin=0.4), "gather_across_devices": True}
    return {
        "listwise": ListwiseKLLoss(student),
        "filtered": FilteredContrastiveLoss(student, **gathered),
        "attention": AttentionMSELoss(student, teacher=teacher, variant="self", distance="kl"),
        "exits": ExitsLoss(student, exits=[1]),
        "heads": HeadsLoss(student, num_heads=1),
        "layers": LayerDistillationLoss(student, teacher=teacher, match="closest", weight_temperature=0.2),
        # While filters are fitted: later every text counts, and the flat form has other texts in one process.
        "filters": HiddenStateMSELoss(student, teacher=bi_encoder, projection="filters"),
        "hidden": HiddenStateMSELoss(student, teacher=teacher),
        "all": MultiLevelDistillationLoss(
            student,
            contrastive=FilteredContrastiveLoss(student, **gathered),
            word={"attention": AttentionMSELoss(student, teacher=teacher)},
        ),
        # Both processes have to learn the same.
        "bandit": ListwiseKLLoss(student, targets=AssistantTargets((), (1.0,), selection="bandit")),
        # The lengths of gradients are not those of one process, but all processes must agree on them.
        "balanced": MultiLevelDistillationLoss(student, balance_every=1),
    }


def flat_label(mine: slice) -> tuple[list[str], dict[str, torch.Tensor]]:
    """This process's passages, each once, and the last of them unlisted; processes have other numbers of them."""
    rows = PASSAGES[mine]
    texts = [text for row in rows for text in row] + ["not listed"] * (mine.start or 0)
    index = torch.arange(3 * len(rows)).reshape(-1, 3)
    positive = torch.tensor([[True, False, False]] * len(rows))
    generator = torch.Generator().manual_seed(0)
    teacher_queries, teacher_documents = (torch.randn(n, 3, generator=generator) for n in (4, 12))
    own = teacher_documents[3 * mine.start : 3 * mine.stop]
    teacher = {
        "teacher_queries": teacher_queries[mine],
        "teacher_documents": torch.cat([own, torch.ones(len(texts) - len(own), 3)]),
    }
    # Windows of documents: those of a document are in both processes.
    groups = {"document_groups": (3 * mine.start + torch.arange(len(texts))) % 5}
    lists = {"scores": torch.tensor(LABEL)[mine][:, None], "index": index, "positive": positive}
    return texts, lists | groups | teacher


def shard_gradient(rank: int, processes: int, folder: str) -> None:
    """Saves every loss's gradient for this process's share of the batch, averaged over the processes."""
    torch.set_num_threads(1)
    student = model = tiny_sentence_transformer(seed=1)
    # Before there are several processes: then transformers writes models in the first alone.
    teacher, bi_encoder = tiny_cross_encoder(seed=3, dim=48), tiny_sentence_transformer(seed=3, dim=48)
    if processes > 1:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=processes)
        model = DistributedDataParallel(student, find_unused_parameters=True)
    torch.manual_seed(rank)  # each process would begin with another projection
    mine = slice(rank * 4 // processes, (rank + 1) * 4 // processes)
    columns = [QUERIES[mine], *(list(column) for column in zip(*PASSAGES[mine]))]
    texts, label = flat_label(mine)
    batches = {"": (columns, torch.tensor(LABEL)[mine]), "flat ": ([QUERIES[mine], texts], label)}
    gradients = {}
    for name, loss in make_losses(student, teacher, bi_encoder).items():
        for module in list(loss.modules()):
            if getattr(module, "model", None) is student:
                module.model = model  # as the host's trainer does
        for form, (batch, labels) in batches.items():
            loss.zero_grad()
            # plain dictionaries, as the collator makes them: DDP looks for tensors in nothing else
            loss([dict(student.preprocess(column)) for column in batch], labels).backward()
            gradients[form + name] = torch.cat([p.grad.flatten() for p in own(loss) if p.grad is not None])
        if (bandit := getattr(getattr(loss, "targets", None), "bandit", None)) is not None:
            gradients["what the bandit learned"] = torch.tensor([*bandit.probabilities, bandit.state()["mean"]])
    torch.save(gradients, f"{folder}/gradient-{rank}-of-{processes}.pt")
    if processes > 1:
        distributed.destroy_process_group()


def own(loss):
    """The parameters in an order that does not depend on what wraps the student."""
    named = {name.replace("model.module.", "model."): parameter for name, parameter in loss.named_parameters()}
    return [named[name] for name in sorted(named)]
