"""What each process of a training does; a module of its own, so that a new process can import it."""

from __future__ import annotations

import copy
import random
from functools import cache

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from torch import nn
from transformers import set_seed

from st_mta.assistants.targets import AssistantTargets
from st_mta.filters import DynamicFilter
from st_mta.losses import (
    AttentionMSELoss,
    CachedListwiseKLLoss,
    EmbeddingDistillationLoss,
    HiddenStateMSELoss,
    ListwiseKLLoss,
    ListwiseRerankerLoss,
    MultiLevelDistillationLoss,
)
from st_mta.losses.by_name import find_loss
from st_mta.losses.embedding import EmbeddingSpaces
from st_mta.losses.in_batch_teacher import DOCUMENTS, QUERIES
from st_mta.processes import processes
from st_mta.run.results import Trained
from st_mta.scored import ScoredCandidates
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.checkpoints import train_with_checkpoints
from st_mta.training.collator import FlatDocumentsCollator, listwise_dataset
from st_mta.training.in_batch import TeacherTokens, TokenVectors
from st_mta.training.regression import regress_embeddings, warm_up_arguments
from st_mta.training.reranker.collator import PairsCollator
from st_mta.training.sharing import order_of_batches
from st_mta.types import Candidates, Texts
from tests.tiny import WORDS, tiny_cross_encoder, tiny_sentence_transformer
from tests.training.student_kinds import static_queries

WHOLE = 16
"""Rows of a batch of all processes."""
NUM_QUERIES, NUM_PASSAGES = 97, 40
PER_PROCESS: list[int] = []


# Made before there is a process group, in which rank 0 alone would write the files that they are read from.
STUDENT = tiny_sentence_transformer(seed=1)
CROSS_ENCODER = tiny_cross_encoder(seed=3, dim=48)
RERANKER = tiny_cross_encoder(seed=5)
BI_ENCODER = tiny_sentence_transformer(seed=4, dim=48)
ROUTER = static_queries()
"""A student of which a batch of queries or of passages passes through one half."""
FROZEN = copy.deepcopy(STUDENT)
FROZEN[0].model.embeddings.requires_grad_(False)
FROZEN[0].model.encoder.layer[0].requires_grad_(False)


class Rows:
    """Embeddings of another model, in memory."""

    def __init__(self, count, dim, seed):
        self.embeddings = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)

    def rows(self, positions):
        return self.embeddings[positions]


def teacher_of_batches():
    """A late-interaction teacher whose later texts have more tokens, so that processes pad to other lengths."""
    random, teacher = np.random.default_rng(6), TeacherTokens(None, None, None)
    for name, count in ((QUERIES, NUM_QUERIES), (DOCUMENTS, NUM_PASSAGES)):
        ends = np.cumsum(1 + np.arange(count))
        vectors = random.standard_normal((ends[-1], 8)).astype(np.float32)
        teacher._sides[name] = TokenVectors(np.arange(count), ends, vectors)
    return teacher


@cache
def data(num_queries=NUM_QUERIES):
    """Lists of one to six of few passages, so that processes share many; some teach nothing, some have no positive."""
    draw, source = np.random.default_rng(5), random.Random(0)
    corpus = Texts.from_dict({f"p{i}": " ".join(source.choices(WORDS, k=1 + i % 9)) for i in range(NUM_PASSAGES)})
    queries = Texts.from_dict({f"q{i}": " ".join(source.choices(WORDS, k=3)) for i in range(num_queries)})
    lengths = draw.integers(1, 7, size=num_queries)
    lengths[0] = 5
    passages = np.concatenate([draw.permutation(NUM_PASSAGES)[:n] for n in lengths])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    positive = np.zeros(len(passages), dtype=bool)
    positive[offsets[:-1][draw.random(num_queries) < 0.8]] = True
    source_of = np.zeros(len(passages), dtype=np.int64)
    lists = Candidates(np.arange(num_queries), offsets, passages, positive, source_of, ("qrels",))
    scores = draw.normal(size=(4, len(passages))).astype(np.float32) * 2
    scores[0, draw.random(len(passages)) < 0.3] = np.nan  # a stored teacher does not know them
    scores[:, :5] = np.nan_to_num(scores[:, :5])
    return corpus, queries, ScoredCandidates(lists, scores, ("T", "A", "B", "C"))


def arguments_of(folder, num_processes, **changes):
    chosen = {
        "per_device_train_batch_size": PER_PROCESS[-1] if PER_PROCESS else max(1, WHOLE // num_processes),
        "max_steps": 1,
        "learning_rate": 0.1,
        "optim": "sgd",  # Adam makes a step of any gradient, rounding included
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "dropout": 0.0,
        "seed": 3,
    }
    return MultiAssistantTrainingArguments(folder, **(chosen | changes))


def targets(per="batch", assistants=3):
    return AssistantTargets("ABC"[:assistants], [1.0] * (assistants + 1), select_per=per)


def listwise(**options):
    options = {"alpha": 0.4, "scale": 5.0} | options
    return lambda student, targets: ListwiseKLLoss(student, targets=targets, **options)


def margin_mse(student, targets):
    return find_loss("margin-mse")(student, targets)


def multi_level(student, targets):
    word = {"attention": AttentionMSELoss(student, teacher=CROSS_ENCODER)}
    word["hidden"] = HiddenStateMSELoss(student, teacher=BI_ENCODER)
    return MultiLevelDistillationLoss(student, word=word, sentence=listwise()(student, targets))


class WithProjection(nn.Module):
    """A user's own loss with weights of its own, which every process begins with others."""

    def __init__(self, student):
        super().__init__()
        self.model = student
        self.projection = nn.Linear(32, 4)

    def forward(self, features, labels):
        (column,) = features
        return (self.projection(self.model(column)["sentence_embedding"]) - labels[:, :4]).square().mean()


TERMS = {"mse": 1.0, "gram": 2.0, "relative": 1.0}
LOSSES = {
    "teacher only": (listwise(), {"assistants": 0}),
    "per batch": (listwise(contrastive_weight=0.1), {}),
    "per query": (listwise(divergence="jensen-shannon"), {"per": "query"}),
    "bce": (listwise(objective="bce", query_weights="error", contrastive_weight=0.1), {}),
    "regression": (listwise(regression_weight=2.0), {}),
    "terms": (
        lambda student, targets: ListwiseKLLoss(
            student,
            targets=targets,
            regression_weight=1.0,
            regression_terms=TERMS,
            regression_map=EmbeddingSpaces("learned", 32, 24),
        ),
        {},
    ),
    "whole batches in parts": (
        lambda student, targets: CachedListwiseKLLoss(
            student,
            targets=targets,
            scale=5.0,
            contrastive_weight=0.1,
            candidates="in-batch",
            in_batch_filter=DynamicFilter(relative_margin=-0.2),
            mini_batch_size=3,
        ),
        {},
    ),
    "margin-mse": (margin_mse, {}),
    "multi-level": (multi_level, {}),
    "cross-encoder": (
        lambda student, targets: ListwiseRerankerLoss(student, targets=targets, alpha=0.4, contrastive_weight=0.5),
        {},
    ),
    "embedding": (lambda student, _: EmbeddingDistillationLoss(student, terms=TERMS, map="none"), {}),
}


def student_is_reranker(student):
    return isinstance(student, CrossEncoder)


def student_of(name):
    if name == "cross-encoder":
        return RERANKER
    return ROUTER if "router" in name else STUDENT


def train_lists(
    folder, num_processes, name="per batch", *, student=STUDENT, num_queries=NUM_QUERIES, hosted=None, **changes
):
    """A training on lists; the student, its loss and what came of it."""
    corpus, queries, scored = data(num_queries)
    set_seed(processes().rank)  # a loss's own weights differ at first
    student = copy.deepcopy(student)
    make, options = LOSSES[name]
    chosen = targets(**options)
    loss = make(student, chosen)
    dim = 24 if name == "terms" else 32
    regressed = {"query": Rows(num_queries, dim, 1), "documents": Rows(NUM_PASSAGES, dim, 2)}
    scored = ScoredCandidates(scored.candidates, scored.scores[: len(chosen.names) + 1], scored.scorers)
    arguments = arguments_of(folder, num_processes, **changes)
    done = train_with_checkpoints(
        student,
        arguments,
        listwise_dataset(scored, queries),
        PairsCollator(student.preprocess, corpus=corpus)
        if student_is_reranker(student)
        else FlatDocumentsCollator(student.preprocess, corpus=corpus, targets=regressed, teacher=teacher_of_batches()),
        loss,
        targets=chosen,
        **(hosted or {}),
    )
    return student, loss, done


def warm_up(folder, num_processes, loss=None, student=STUDENT, **changes):
    """A training on embeddings of queries and passages."""
    corpus, queries, _ = data()
    student = copy.deepcopy(student)
    texts = {"query": queries, "documents": corpus}
    positions = {column: np.arange(len(found)) for column, found in texts.items()}
    regressed = {column: Rows(len(found), 32, 7) for column, found in texts.items()}
    arguments = arguments_of(folder, num_processes)
    of_warm_up = warm_up_arguments(arguments) | {"max_steps": 1, "warmup_steps": 0, "learning_rate": 0.1}
    of_warm_up["per_device_train_batch_size"] = arguments.per_device_train_batch_size
    of_warm_up["router_mapping"] = {"query": "query", "documents": "document"} if student is ROUTER else {}
    arguments = arguments_of(folder, num_processes, **(of_warm_up | changes))
    loss = None if loss is None else loss(student)
    return student, loss, regress_embeddings(student, texts, positions, regressed, arguments, loss)


def stock(folder, num_processes):
    """The host's own trainer and data collator, on columns; two lists of one process teach nothing."""
    source = random.Random(1)
    texts = [" ".join(source.choices(WORDS, k=6)) for _ in range(3 * WHOLE)]
    names = ("query", "positive", "negative")
    columns = {name: texts[start::3] for start, name in enumerate(names)}
    label = np.random.default_rng(1).normal(size=(WHOLE, 2))
    label[:2, 1] = np.nan
    student = copy.deepcopy(STUDENT)
    loss = ListwiseKLLoss(student, scale=5.0, contrastive_weight=0.1, gather_across_devices=True)
    arguments = SentenceTransformerTrainingArguments(
        folder,
        per_device_train_batch_size=WHOLE // num_processes,
        max_steps=1,
        learning_rate=0.1,
        optim="sgd",
        lr_scheduler_type="constant",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=3,
    )
    dataset = Dataset.from_dict(columns | {"label": label.tolist()})
    trainer = SentenceTransformerTrainer(model=student, args=arguments, train_dataset=dataset, loss=loss)
    trainer.train()
    first = trainer.state.log_history[0]["loss"]
    return student, loss, Trained(steps=trainer.state.global_step, sequences=0, loss={"first": first, "last": first})


def own_loss(student):
    set_seed(0 if processes().leads else 1)
    return WithProjection(student)


def with_terms(student):
    return EmbeddingDistillationLoss(student, terms=TERMS, map="none")


def trained(folder, num_processes, name):
    """Weights, loss's own weights and counts of one training by its name."""
    if name in LOSSES:
        student, loss, done = train_lists(
            f"{folder}/{name}/checkpoints", num_processes, name, student=student_of(name)
        )
    elif name == "sharing":
        arguments = arguments_of(folder, 1, batches="sharing")
        student, loss, done = train_lists(
            f"{folder}/{name}/checkpoints", num_processes, "per batch", **order_of_batches(arguments)
        )
    elif name.endswith("queries"):
        epoch = {"max_steps": -1, "num_train_epochs": 1.0, "num_queries": int(name.split()[0])}
        student, loss, done = train_lists(f"{folder}/{name}/checkpoints", num_processes, **epoch)
    elif name == "stock":
        student, loss, done = stock(f"{folder}/{name}", num_processes)
    elif name == "frozen":
        student, loss, done = train_lists(f"{folder}/{name}/checkpoints", num_processes, student=FROZEN)
    elif name.startswith("warm-up"):
        steps = {"max_steps": -1, "num_train_epochs": 1.0} if "epoch" in name else {}
        loss = {"warm-up terms": with_terms, "warm-up own loss": own_loss}.get(name)
        student, loss, done = warm_up(f"{folder}/{name}/checkpoints", num_processes, loss, student_of(name), **steps)
    weights = {key: value.clone() for key, value in student.state_dict().items()}
    own = {} if loss is None else {k: v.clone() for k, v in loss.state_dict().items() if "projection" in k}
    before = student_of(name).state_dict()
    moved = {key: float((value - before[key]).abs().max()) for key, value in weights.items()}
    return {"weights": weights, "own": own, "done": done, "moved": moved}


NAMES = [*LOSSES, "sharing", "3 queries", "97 queries", "frozen", "stock"]
NAMES += ["warm-up epoch", "warm-up terms", "warm-up own loss", "warm-up epoch router"]
OF_THREE = ["97 queries", "12 queries", "1 queries"]


def one_step_each(rank, num_processes, folder, names, whole=1):
    """Saves what every training came to; a single process has the batch of as many as ``whole``."""
    PER_PROCESS.append(WHOLE // max(num_processes, whole) * (whole if num_processes == 1 else 1))
    found = {name: trained(f"{folder}/{num_processes}", num_processes, name) for name in names}
    torch.save(found, f"{folder}/{rank}-of-{num_processes}.pt")
