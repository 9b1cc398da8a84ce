"""Models of every kind teach and assist in one run, named as users name them."""

from __future__ import annotations

import numpy as np
from sentence_transformers import SentenceTransformer

from st_mta.scorers.late_interaction import token_by_token
from st_mta.stores import Store
from tests.tiny import (
    saved,
    tiny_cross_encoder,
    tiny_decoder_bi_encoder,
    tiny_language_model,
    tiny_sentence_transformer,
    tiny_sequence_to_sequence,
    tiny_sparse_encoder,
)
from tests.training.toy_run import toy_trainer

FORM = {"prompt": "query: {query} text: {document} is it good?", "true_token": "good", "false_token": "bad"}


def test_models_of_every_kind_teach_and_assist(toy_collection, tmp_path):
    causal = tiny_language_model(tmp_path / "causal")
    t5 = tiny_sequence_to_sequence(tmp_path / "t5")
    assistants = [
        {"model": f"lm-reranker:{t5}", "form": FORM, "name": "t5"},
        saved(tiny_cross_encoder(), tmp_path / "cross"),
        saved(tiny_sparse_encoder(), tmp_path / "sparse"),
        saved(token_by_token(tiny_sentence_transformer(5)), tmp_path / "multi"),
        {"model": saved(tiny_decoder_bi_encoder(), tmp_path / "decoder"), "prompts": {"query": "what is "}},
    ]
    trainer = toy_trainer(
        tmp_path / "out",
        tmp_path / "store",
        toy_collection,
        teacher={"model": f"lm-reranker:{causal}", "form": FORM, "name": "qwen"},
        assistants=assistants,
        num_iterations=1,
        num_candidates=3,
    )
    report = trainer.train()
    assert (report["teacher"]["name"], report["teacher"]["kind"]) == ("qwen", "cross-encoder")
    kinds = [assistant["kind"] for assistant in report["assistants"]]
    assert kinds == ["cross-encoder", "cross-encoder", "sparse", "late-interaction", "bi-encoder"]
    assert all(assistant["queries_per_second"] for assistant in report["assistants"])
    assert {entry.name for entry in Store(tmp_path / "store").contents() if entry.searches} >= {assistants[2]}
    loaded = SentenceTransformer(str(tmp_path / "out" / "student"), device="cpu")
    np.testing.assert_allclose(loaded.encode(["a cat"]), trainer.model.encode(["a cat"]), atol=1e-6)
