"""Embedding distillation as a loss of its own, for any trainer of the host."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from datasets import Dataset, IterableDataset
from sentence_transformers.sentence_transformer import SentenceTransformer
from torch import Tensor

from st_mta.citations import EMBED_DISTILL, JASPER, SPREAD_OUT, VKD
from st_mta.errors import InputError
from st_mta.losses.batch import Labels
from st_mta.losses.embedding.cuts import WHOLE, cut, cuts_of
from st_mta.losses.embedding.fitting import Source, given, moments_of, read_ahead, stored
from st_mta.losses.embedding.labelling import Roles, TargetRows, distinct_texts, roles_of, with_embeddings, with_rows
from st_mta.losses.embedding.spaces import EmbeddingSpaces, Map
from st_mta.losses.embedding.targets import read_targets
from st_mta.losses.embedding.teachers import Teacher, Teachers
from st_mta.losses.embedding.terms import TERMS, check_terms, embedding_terms
from st_mta.losses.gather import gather_rows
from st_mta.losses.list_loss import ListLoss
from st_mta.losses.shares import Copies, copies_of_rows, row_shares
from st_mta.stores import Store
from st_mta.stores.embeddings import Role
from st_mta.types import FloatArray

logger = logging.getLogger(__name__)

AnyDataset = TypeVar("AnyDataset", Dataset, IterableDataset, dict[str, Any])
AnyRows = TypeVar("AnyRows", FloatArray, Tensor)


class EmbeddingDistillationLoss(ListLoss):
    """Makes a student's embeddings those of one or several bi-encoders of any width.

    The sum of weighted terms between the embeddings of student and teacher: distances of each text to its target, as
    in EmbedDistill (https://arxiv.org/abs/2301.12005), and terms over all texts of the batch, as in Jasper
    (https://arxiv.org/abs/2412.19048); see ``TERMS``. No relevance is needed: any texts will do.

    Distances need both in one space, to which a ``map`` leads:

    - "procrustes": targets are cut to as many principal directions as the student has dimensions, and rotated to the
      embeddings that the student has before training. Fitted once, without gradients, by ``label`` or ``fit``. Targets
      of the student's own width are taken as they are where nothing was fitted.
    - "learned", as in LEAF and the host's ``EmbedDistillLoss``, or "orthogonal" (https://arxiv.org/abs/2403.06213): a
      linear layer after the student, trained along and kept by this loss (see ``KeepLossWeights``). It begins with
      the fitted map, or at random where nothing was fitted; then it needs ``teacher_dim``.
    - "none", or a matrix (D, d) of your own, from the teacher's dimensions to the student's.

    Terms over the batch compare similarities with similarities, and no map touches them.

    Args:
        model: The student.
        teachers: What ``label`` asks for targets: a ``SentenceTransformer``, a ``BiEncoderScorer``, or several. They
            are no submodules, and idle once the texts are labelled.
        weights: One per teacher. Targets are their unit embeddings side by side, so that similarities of targets are
            the means of the teachers' with these weights. Default: all alike.
        terms: Words of ``TERMS`` with their weights, such as {"cosine": 10, "gram": 200, "relative": 20} of Jasper.
            Default: {"cosine": 1.0}.
        map: See above.
        teacher_dim: D, for a trained map that nothing is fitted for.
        matryoshka_dims: Leading dimensions of the student for which the loss is summed; it equals the host's
            ``MatryoshkaLoss`` around this one. A cut student is to have the similarities of the whole teacher, so
            terms over the batch compare it with whole targets. Distances compare it with what mapped targets have in
            the same leading dimensions, or, cut off by zeros, through a trained map with whole targets. The
            directions of mapped targets are those of the student and in no order of importance, so distances alone do
            not gather anything in the leading ones: add "gram".
        matryoshka_weights: One per cut. Default: 1 for each.
        store: Where teachers' embeddings are kept from one run to the next, a ``Store`` or its folder. Default: a
            temporary folder.
        gather_across_devices: Whether terms over the batch compare the texts of all processes.
        return_components: Whether ``forward`` returns the weighted terms by their words, for the trainer to log;
            wrappers need their sum.

    Inputs:
        +-------------------------+--------------------------------------------------------------------------------+
        | Inputs                  | Labels                                                                         |
        +=========================+================================================================================+
        | one or C columns        | what ``label`` adds: row numbers (B,) or (B, C); in a stream embeddings        |
        +-------------------------+--------------------------------------------------------------------------------+
        | one column              | (B, D) the teacher's embeddings                                                |
        +-------------------------+--------------------------------------------------------------------------------+
        | C columns               | (B, C, D), or (B, D) for the same target in all of them                        |
        +-------------------------+--------------------------------------------------------------------------------+
        | (query, documents, ...) | the flat form of ``ListwiseKLLoss`` with query_targets and document_targets    |
        +-------------------------+--------------------------------------------------------------------------------+

    Raises:
        InputError: If an argument does not fit, or in training a label does not, or a map is needed and not fitted.

    Example:
        ::

            loss = EmbeddingDistillationLoss(model, teachers=[teacher_a, teacher_b])
            dataset = loss.label(dataset)
            SentenceTransformerTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss).train()
    """

    model: SentenceTransformer

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        teachers: Teacher | Sequence[Teacher] | None = None,
        weights: Sequence[float] | None = None,
        terms: Mapping[str, float] | None = None,
        map: Map | FloatArray | Tensor = "procrustes",
        teacher_dim: int | None = None,
        matryoshka_dims: Sequence[int] | None = None,
        matryoshka_weights: Sequence[float] | None = None,
        store: Store | Path | str | None = None,
        gather_across_devices: bool = False,
        return_components: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.terms = check_terms({"cosine": 1.0} if terms is None else terms)
        self.map = EmbeddingSpaces(map, model.get_embedding_dimension(), teacher_dim).to(model.device)
        self.cuts = cuts_of(matryoshka_dims, matryoshka_weights, self.map.width)
        self.gather_across_devices, self.return_components = gather_across_devices, return_components
        self._over_batch = any(TERMS[word].over_batch for word in self.terms)
        self._over_rows = any(not TERMS[word].over_batch for word in self.terms)
        several = list(teachers) if isinstance(teachers, (list, tuple)) else [teachers]
        kept = None if store is None else Store.at(store)
        self._teachers = None if teachers is None else Teachers(several, weights, kept)
        self._rows = TargetRows()
        if any(dim < self.map.width for dim, _ in self.cuts) and not self._over_batch:
            logger.warning(
                "Distances alone gather nothing in the student's leading dimensions: add a term over the batch, such "
                'as "gram", for it to work cut off.'
            )

    def label(self, dataset: AnyDataset, roles: Roles | None = None, *, batch_size: int = 256) -> AnyDataset:
        """The dataset with a column "label", which takes the place of any other label.

        The teachers encode every distinct text once. What the dataset gets is the number of each text's row, so label
        it with the loss that trains on it. A stream (``IterableDataset``) gets the embeddings themselves,
        ``batch_size`` rows at a time as they come by; its first rows are read ahead for the map. The map is fitted on
        the first dataset that is labelled, with the student as it is then. In a dictionary of datasets each is
        labelled.

        Args:
            dataset: Texts in one or several columns; other columns are left alone.
            roles: "query" or "document" by column, where the names do not say it: "query", "anchor" and "question"
                are queries, all others documents.
            batch_size: Rows of a stream that are encoded together.

        Raises:
            InputError: If the loss has no teachers, a text is missing, or roles do not fit.
        """
        if isinstance(dataset, dict):
            labelled = {name: self.label(one, roles, batch_size=batch_size) for name, one in dataset.items()}
            return type(dataset)(labelled)
        teachers = self._needed_teachers()
        role_of = roles_of(dataset, roles)
        if isinstance(dataset, IterableDataset):
            if not self.map.ready:
                self._fit(read_ahead(dataset, role_of, teachers.encode))
            return with_embeddings(dataset, role_of, teachers.encode, batch_size)
        if not len(dataset):
            return dataset
        found = distinct_texts(dataset, role_of)
        embeddings = {role: teachers.embed(texts, role) for role, (texts, _) in found.items()}
        if not self.map.ready:
            sources = [stored(role, texts, embeddings[role], teachers.fuse) for role, (texts, _) in found.items()]
            self._fit(sources)
        starts = {role: self._rows.add(parts) for role, parts in embeddings.items()}
        return with_rows(dataset, [starts[role] + found[role][1][column] for column, role in role_of.items()])

    def fit(self, texts: Sequence[str], embeddings: FloatArray, role: Role = "document") -> float:
        """Fits the map to the student as it is now.

        Args:
            texts: Some thousand texts, at least as many as the student has dimensions.
            embeddings: (n, D) the teacher's embeddings of them.
            role: Whether the student reads them as queries or as documents.

        Returns:
            The share of the teacher's squared length that is left after the map, at most 1.

        Raises:
            InputError: If there is not one embedding per text, or there are no texts.
        """
        return self._fit([given(texts, embeddings, role)])

    def to_teacher(self, embeddings: AnyRows) -> AnyRows:
        """The student's embeddings (n, d) in the teacher's space (n, D), to search the teacher's own index with."""
        if isinstance(embeddings, Tensor):
            return self.map.to_teacher(embeddings)
        mapped: FloatArray = self.map.to_teacher(torch.from_numpy(embeddings).to(self.map.device)).cpu().numpy()
        return mapped

    def save_map(self, folder: Path | str) -> None:
        """Writes the map as it is now into a folder; ``st_mta.losses.embedding.read_map`` reads it as a matrix."""
        self.map.save(folder)

    def load_map(self, folder: Path | str) -> None:
        """Takes the map that ``save_map`` wrote, in place of fitting one."""
        self.map.load(folder)
        self.map.to(self.model.device)

    def _fit(self, sources: list[Source]) -> float:
        share = self.map.fit(moments_of(self.model, sources))
        # The trainer may have brought the loss to its device before.
        self.map.to(self.model.device)
        return share

    def _components(self, embeddings: list[Tensor], labels: Labels | None) -> dict[str, Tensor]:
        student = torch.cat(embeddings)
        targets = read_targets(embeddings, labels, self._look_up).to(student.device)
        self._inspect(targets)
        gather = self.gather_across_devices and self._over_batch
        copies = _copies(embeddings, labels)
        everyone, their_targets = gather_rows(student, targets, across_devices=gather, copies=copies)
        mean = row_shares(student, copies)
        found: dict[str, list[Tensor]] = {}
        for dim, weight in self.cuts or WHOLE:
            aligned = self.map.align(cut(student, dim), targets) if self._over_rows else None
            terms = embedding_terms(cut(everyone, dim), their_targets, self.terms, aligned=aligned, mean=mean)
            for word, value in terms.items():
                found.setdefault(word, []).append(weight * value)
        return {word: torch.stack(values).sum() for word, values in found.items()}

    def _look_up(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(self._rows.read(rows.cpu().numpy(), self._needed_teachers()))

    def _inspect(self, targets: Tensor) -> None:
        # Once: reading a value back stops an accelerator.
        if not self._inspected and not bool(targets.isfinite().all()):
            raise InputError(
                expected="targets that are finite numbers",
                got="NaN or infinity in the first batch",
                consequence="the first step would make every weight NaN",
                remedy="look for texts without an embedding; where a column has no target, leave the column out",
            )
        self._inspected = True

    def _needed_teachers(self) -> Teachers:
        if self._teachers is None:
            raise InputError(
                expected="a loss with teachers, to label a dataset or to look labels up",
                got="none",
                remedy="write EmbeddingDistillationLoss(model, teachers=[teacher]), or give embeddings as labels",
            )
        return self._teachers

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        return {
            "teachers": None if self._teachers is None else self._teachers.names,
            "weights": None if self._teachers is None else self._teachers.weights,
            "terms": self.terms,
            "map": self.map.kind,
            "matryoshka_dims": [dim for dim, _ in self.cuts] or None,
            "matryoshka_weights": [weight for _, weight in self.cuts] or None,
            "gather_across_devices": self.gather_across_devices,
        }

    @property
    def citation(self) -> str:
        """BibTeX of what is used."""
        used = [EMBED_DISTILL]
        used += [JASPER] if {"gram", "relative"} & set(self.terms) else []
        used += [SPREAD_OUT] if "spread" in self.terms else []
        used += [VKD] if self.map.kind == "orthogonal" else []
        return "".join(used)


def _copies(embeddings: list[Tensor], labels: Labels | None) -> Copies | None:
    """Which rows of the flat form other processes have too; None where nothing says so."""
    ids = labels.get("document_ids") if isinstance(labels, dict) else None
    return None if ids is None else copies_of_rows(len(embeddings[0]), ids)
