from __future__ import annotations

import json

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BM25, BiEncoderScorer, CrossEncoderScorer, FusedScorer, load_scorer
from st_mta.scorers.fused import read_fusion, write_fusion
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer


def all_pairs(collection):
    queries, passages = np.meshgrid(np.arange(5), np.arange(20), indexing="ij")
    return collection.queries, collection.corpus, queries.ravel(), passages.ravel()


def test_scores_are_the_weighted_sum(toy_collection):
    parts = [BM25(), BiEncoderScorer(tiny_sentence_transformer(3), name="A")]
    pairs = all_pairs(toy_collection)
    wanted = 0.5 * parts[0].score(*pairs).astype(np.float64) + 2.0 * parts[1].score(*pairs).astype(np.float64)
    fused = FusedScorer(parts, [0.5, 2.0])
    assert np.allclose(fused.score(*pairs), wanted, atol=1e-6)
    assert fused.parameters == parts[1].parameters
    assert not fused.can_retrieve and fused.bounded
    assert not FusedScorer([*parts, CrossEncoderScorer(tiny_cross_encoder(1))], [1.0, 1.0, 2.0]).bounded


def test_the_fingerprint_knows_parts_and_weights():
    one, other = BM25(), BiEncoderScorer(tiny_sentence_transformer(3), name="A")
    prints = {
        FusedScorer([one, other], [1, 2]).fingerprint,
        FusedScorer([one, other], [2, 1]).fingerprint,
        FusedScorer([one], [1]).fingerprint,
        FusedScorer([one, BiEncoderScorer(tiny_sentence_transformer(4), name="A")], [1, 2]).fingerprint,
    }
    assert len(prints) == 4


@pytest.mark.parametrize("weights", [[], [1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(InputError, match="positive weight"):
        FusedScorer([BM25(), BiEncoderScorer(tiny_sentence_transformer(3), name="A")], weights)


def test_a_fusion_is_read_back_wherever_its_folder_stands(toy_collection, tmp_path):
    home = tmp_path / "here"
    cross_encoder = saved(tiny_cross_encoder(1), home / "cross-encoder")
    outside = saved(tiny_sentence_transformer(3), tmp_path / "outside")
    spec = home / "teacher.fusion.json"
    write_fusion(spec, [cross_encoder, "bm25", f"late-interaction:{outside}"], [1.0, 0.5, 0.25])
    scores = load_scorer(spec).score(*all_pairs(toy_collection))
    assert json.loads(spec.read_text())["parts"][0] == "./cross-encoder"
    home.rename(tmp_path / "there")
    moved = load_scorer(tmp_path / "there" / spec.name)
    assert [part.kind for part in moved.parts] == ["cross-encoder", "bm25", "late-interaction"]
    assert np.array_equal(moved.score(*all_pairs(toy_collection)), scores)


@pytest.mark.parametrize("content", ["", "[]", '{"parts": ["bm25"]}', '{"parts": 1, "weights": [1]}'])
def test_what_is_no_fusion_is_refused(tmp_path, content):
    path = tmp_path / "x.fusion.json"
    path.write_text(content)
    with pytest.raises(InputError, match="a fusion"):
        read_fusion(path)


def test_a_missing_fusion_is_refused(tmp_path):
    with pytest.raises(InputError, match="a fusion"):
        load_scorer(str(tmp_path / "none.fusion.json"))


def test_a_fusion_that_is_a_part_of_itself(tmp_path):
    for name, part in (("a", "b"), ("b", "a"), ("c", "c")):
        write_fusion(tmp_path / f"{name}.fusion.json", [f"./{part}.fusion.json"], [1.0])
    for name in "abc":
        with pytest.raises(InputError, match="a part of itself"):
            load_scorer(str(tmp_path / f"{name}.fusion.json"))
