"""The configuration of a distillation becomes the student that is trained."""

from __future__ import annotations

import json

import pytest

from st_mta.recipes import distill as recipe
from st_mta.recipes.distill import DistillConfig, distill
from st_mta.training.vocabulary import prune_vocabulary
from tests.tiny import saved, tiny_sentence_transformer


@pytest.fixture
def folder(tmp_path):
    """A collection in BEIR layout."""
    root = tmp_path / "collection"
    (root / "qrels").mkdir(parents=True)
    passages = [
        {"_id": f"p{place}", "text": text} for place, text in enumerate(["the cat eats", "a dog runs", "fish"])
    ]
    queries = [{"_id": f"q{place}", "text": text} for place, text in enumerate(["cat", "dog", "bird", "tree"])]
    for name, rows in (("corpus", passages), ("queries", queries)):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split, rows in (("train", (0, 1)), ("dev", (2,)), ("test", (3,))):
        lines = [f"q{row}\tp{row % 3}\t1\n" for row in rows]
        (root / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return str(root)


def test_a_student_is_cut_in_layers_and_vocabulary(folder, tmp_path, monkeypatch):
    model = saved(tiny_sentence_transformer(1, layers=3), tmp_path / "model")
    teacher = saved(tiny_sentence_transformer(2), tmp_path / "teacher")
    monkeypatch.setattr(recipe, "run_trainer", lambda trainer, _: trainer)
    config = DistillConfig(
        collection=folder,
        teacher=teacher,
        student=model,
        output_dir=str(tmp_path / "out"),
        student_layers=[0, 2],
        student_vocabulary="collection",
        training={"prompts": {"query": "which "}},
    )
    student = distill(config).model
    left = set(student.tokenizer.get_vocab())
    assert student.transformers_model.config.num_hidden_layers == 2
    assert {"cat", "eats", "bird", "which"} <= left and "tree" not in left
    whole = tiny_sentence_transformer(1, layers=3)
    expected = prune_vocabulary(whole, ["the cat eats", "a dog runs", "fish", "bird"], prompts=["which "])
    assert left == set(expected.tokenizer.get_vocab())


def test_vocabularies_are_named():
    with pytest.raises(ValueError, match="student.vocabulary"):
        DistillConfig(collection="c", teacher="t", student="s", output_dir="o", student_vocabulary="half")
