"""A teacher for a collection: a cross-encoder tuned on it, fused with other scorers where that is better."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import ListNetLoss

from st_mta.assistants.weights import fit_log_linear
from st_mta.atomic import atomic_write_text
from st_mta.collections import load_collection
from st_mta.evaluation import evaluate_run
from st_mta.mining import mine
from st_mta.outputs import check_output_folder
from st_mta.ranges import check_number, count_from
from st_mta.recipes.labelling import labelled_by, soft_labels
from st_mta.recipes.tune import TuningSettings, remove_checkpoints, tunable_collection, tune, tuning_lists
from st_mta.run.identity import refuse_other_configuration
from st_mta.run.lock import one_at_a_time
from st_mta.scored import ScoredCandidates, score_all
from st_mta.scorers import BM25, load_scorer, load_student, model_path
from st_mta.scorers.fused import SUFFIX, write_fusion
from st_mta.scorers.lengths import limit_length, usable_length
from st_mta.scorers.saved_kind import saved_kind
from st_mta.stores import Store
from st_mta.training.student_folders import save_student
from st_mta.types import Candidates, Collection, FloatArray, IntArray, Scorer

RELEVANT = 10.0
"""Label of a relevant passage; ListNet takes a softmax over the labels, which so is one-hot to four digits."""
PAIRS_AT_ONCE = 16
"""Pairs per forward pass in training: few are padded little and stay in a CPU's caches; a GPU does not mind."""
FUSION_NAME = "fusion"
KEEP_ABOVE = 1e-3
"""Weights below this share of the largest are left out: they would cost a model's scores and change no ranking."""


@dataclass(frozen=True)
class TeacherChoice:
    """What [`make_teacher`] found on the development split.

    Attributes:
        teacher: How to name the best to ``st-mta distill``.
        ndcg: nDCG@10 over the same candidates: each scorer's, and the fusion's (fitted on one half of the queries and
            measured on the other, both ways).
        weights: Of the fusion, by scorer; those left out are missing.
        queries: Development queries.
        candidates: Mean number of candidates.
    """

    teacher: str
    ndcg: dict[str, float]
    weights: dict[str, float]
    queries: int
    candidates: float


@one_at_a_time
def make_teacher(
    base: str,
    collection: Collection | str | Path,
    output_dir: str | Path,
    *,
    fuse_with: Sequence[str] = (),
    num_candidates: int = 64,
    settings: TuningSettings | None = None,
    store: Store | str | Path | None = None,
    labels_from: str | None = None,
) -> TeacherChoice:
    """Fine-tunes a cross-encoder with mined negatives, fits its fusion with others on dev, and takes the better one.

    Args:
        base: What the cross-encoder is tuned from: Hub id, folder or "minilm".
        collection: What [`load_collection`] takes or returns, with judged training queries.
        output_dir: For ``cross-encoder/``, ``teacher.fusion.json`` and ``teacher.json`` (the choice).
        fuse_with: Other scorers, named as for ``st-mta distill``.
        num_candidates: Passages per development query on which everything is compared.
        settings: How to train.
        store: Where scores and embeddings are kept.
        labels_from: A scorer, named likewise, that labels what has no judgements: its distributions over the lists of
            such training queries (spans of passages where there are none) are what the cross-encoder learns, and its
            best passages are the judgements of a dev split that has none. So a bi-encoder labels for a cross-encoder
            in Trans-Encoder (Liu et al. 2022), by scores of given pairs there.

    Raises:
        InputError: If the folder holds another configuration, or there are neither judged training queries nor
            ``labels_from``.
    """
    check_number("num_candidates", num_candidates, count_from(2))
    folder, settings = check_output_folder(output_dir), settings or TuningSettings()
    store = Store.at(store)
    options = settings.scorer_options(store)
    if labels_from is None:
        collection = tunable_collection(collection, settings)
    others = [load_scorer(name, options) for name in fuse_with]
    searchers = [scorer for scorer in others if scorer.can_retrieve]
    if not searchers:
        encodes = saved_kind(model_path(base)) != "cross-encoder"
        searchers = [load_scorer(load_student(base), options, name=base)] if encodes else []
        searchers.append(BM25(store=store))
    labeller = None if labels_from is None else load_scorer(labels_from, options)
    source = load_collection(collection)
    collection = source if labeller is None else labelled_by(labeller, source, searchers, settings)
    known = {"base": base, "collection": collection.fingerprint, **asdict(settings)}
    refuse_other_configuration(folder, known | ({} if labeller is None else {"labels_from": labeller.fingerprint}))
    tuned = folder / "cross-encoder"
    if not tuned.exists():
        checkpoints = folder / "cross-encoder.tuning"
        lists = tuning_lists(collection, searchers, settings)
        labels = _labels(collection, lists, labeller, source.queries_of("train"))
        save_student(_tuned_cross_encoder(base, collection, lists, labels, settings, checkpoints), tuned)
        remove_checkpoints(checkpoints)
    scorers = [load_scorer(str(tuned), options), *others]
    choice = choose_teacher(collection, scorers, searchers, [str(tuned), *fuse_with], folder, num_candidates)
    atomic_write_text(folder / "teacher.json", json.dumps(asdict(choice), indent=2) + "\n")
    return choice


def choose_teacher(
    collection: Collection,
    scorers: Sequence[Scorer],
    searchers: Sequence[Scorer],
    names: Sequence[str],
    folder: Path,
    num_candidates: int = 64,
) -> TeacherChoice:
    """Compares scorers and their fusion on dev; writes the fusion where it wins.

    Args:
        collection: With a dev split.
        scorers: The scorers to fuse, and ``names``, as users name them.
        searchers: They bring ``num_candidates`` passages per query.
        folder: For ``teacher.fusion.json``.
    """
    lists = mine(collection, collection.queries_of("dev"), searchers, None, num_candidates=num_candidates)
    lists = lists.select(np.flatnonzero(lists.lengths >= 2))
    scored = score_all(collection, replace(lists, positive=_judged_positive(collection, lists)), scorers)
    scale = scored.scores.std(axis=1)  # so that the fit's penalty means the same for every scorer
    scale[scale == 0] = 1  # a scorer that cannot tell passages apart gets no weight, and breaks nothing
    standard = replace(scored, scores=scored.scores / scale[:, None])
    ndcg = {name: _ndcg(collection, scored, row) for name, row in zip(names, scored.scores)}
    best, weights = max(ndcg, key=lambda name: ndcg[name]), {}
    if len(scorers) > 1:
        ndcg[FUSION_NAME] = _ndcg(collection, scored, _crossed(standard))
        fitted = np.asarray(_fit(standard))
        kept = np.flatnonzero(fitted > KEEP_ABOVE * fitted.max())
        weights = {names[place]: float(fitted[place] / scale[place]) for place in kept.tolist()}
        if ndcg[FUSION_NAME] > ndcg[best]:
            best = str(folder / f"teacher{SUFFIX}")
            write_fusion(Path(best), list(weights), list(weights.values()))
    return TeacherChoice(best, ndcg, weights, len(lists), len(lists.passages) / max(1, len(lists)))


def _labels(collection: Collection, lists: Candidates, labeller: Scorer | None, judged: IntArray) -> FloatArray:
    """(P,) what a softmax makes the distributions to learn of: one-hot for judged queries, else the labeller's."""
    labels = (RELEVANT * lists.positive).astype(np.float32)
    if labeller is None:
        return labels
    return np.where(np.isin(lists.pair_queries, judged), labels, soft_labels(labeller, collection, lists))


def _tuned_cross_encoder(
    base: str,
    collection: Collection,
    lists: Candidates,
    labels: FloatArray,
    settings: TuningSettings,
    folder: Path,
) -> CrossEncoder:
    """A cross-encoder with a fresh head, tuned by the cross-entropy with the softmax of each list's labels (P,)."""
    torch.manual_seed(settings.seed)
    model = CrossEncoder(model_path(base), num_labels=1, device=settings.device)
    length = usable_length(model, settings.max_length, base)
    limit_length(model, None if length is None else 2 * length)
    rows = list(pairwise(lists.offsets.tolist()))
    texts = collection.corpus.take(lists.passages)
    columns = {
        "query": collection.queries.take(lists.queries),
        "passages": [texts[start:end] for start, end in rows],
        "labels": [labels[start:end].tolist() for start, end in rows],
    }
    loss = ListNetLoss(model, mini_batch_size=PAIRS_AT_ONCE)
    tune(model, Dataset.from_dict(columns), loss, settings, folder)
    return model


def _judged_positive(collection: Collection, lists: Candidates) -> Any:
    """(P,) which pairs the development judgements call relevant."""
    judged = collection.qrels["dev"]
    query_ids = collection.queries.take_ids(lists.pair_queries)
    passage_ids = collection.corpus.take_ids(lists.passages)
    return np.asarray([judged[query].get(passage, 0) >= 1 for query, passage in zip(query_ids, passage_ids)])


def _crossed(scored: ScoredCandidates) -> FloatArray:
    """(P,) fused scores, each half of the queries by the weights fitted on the other half."""
    fused = np.zeros(scored.scores.shape[1], dtype=np.float32)
    halves = np.arange(0, len(scored), 2), np.arange(1, len(scored), 2)
    for fitted_on, used_on in (halves, halves[::-1]):
        weights = np.asarray(_fit(scored.select(fitted_on)), dtype=np.float32)
        pairs = scored.candidates.pairs_of(used_on)
        fused[pairs] = weights @ scored.scores[:, pairs]
    return fused


def _fit(scored: ScoredCandidates) -> list[float]:
    scores, mask, positive = scored.dense()
    return fit_log_linear(scores, positive, mask)


def _ndcg(collection: Collection, scored: ScoredCandidates, scores: FloatArray) -> float:
    """nDCG@10 of the candidates in the order of these scores."""
    return evaluate_run(scored.as_run(collection, scores), collection.qrels["dev"], ["ndcg@10"])["ndcg@10"]
