"""Whatever the CPU: a run works, computes in one precision, and says in which."""

from __future__ import annotations

import json

import pytest

from st_mta import MultiAssistantTrainer, MultiAssistantTrainingArguments
from st_mta.errors import InputError
from st_mta.scorers import BiEncoderScorer
from st_mta.training.settled import computes_in_bf16
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments, toy_trainer

SMALL = {"num_iterations": 1, "num_candidates": 4, "regression_epochs": 1.0, "per_device_train_batch_size": 8}


@pytest.mark.parametrize("machine", ["fp32", "bf16"])
def test_a_user_who_does_not_ask_for_a_cpu_gets_a_run_that_works(toy_collection, tmp_path, monkeypatch, machine):
    """As the README writes it: no use_cpu, no precision; the machine has bf16 units or it has none."""
    monkeypatch.setenv("ST_MTA_PRECISION", machine)
    trainer = MultiAssistantTrainer(
        model=tiny_sentence_transformer(1),
        args=MultiAssistantTrainingArguments(str(tmp_path / "out"), **SMALL),
        teacher=tiny_sentence_transformer(2),
        assistants=[tiny_sentence_transformer(3, dim=48), "bm25"],
        collection=toy_collection,
        store=tmp_path / "store",
    )
    report = trainer.train()
    assert report["precision"] == machine and report["recovered"] > 0
    assert json.loads((tmp_path / "out/state.json").read_text())["configuration"]["bf16"] is (machine == "bf16")
    assert trainer.args.bf16 is False


def test_bf16_learns_what_fp32_learns(toy_collection, tmp_path):
    """The same run in both: the students rank alike, within what 8 bits of mantissa allow."""
    reports = {
        precision: toy_trainer(
            tmp_path / precision, tmp_path / "store", toy_collection, precision=precision, patience=None
        ).train()
        for precision in ("fp32", "bf16")
    }
    fp32, bf16 = (reports[precision] for precision in ("fp32", "bf16"))
    assert fp32["precision"] == "fp32" and bf16["precision"] == "bf16"
    assert bf16["warm_up"]["dev_ndcg@10"] == pytest.approx(fp32["warm_up"]["dev_ndcg@10"], abs=0.1)
    assert bf16["student"]["ndcg@10"] == pytest.approx(fp32["student"]["ndcg@10"], abs=0.15)


@pytest.mark.parametrize("machine", ["fp32", "bf16"])
@pytest.mark.parametrize("asked", ["auto", "fp32", "bf16"])
@pytest.mark.parametrize("given", ["model", "scorer in fp32", "scorer in bf16", "scorer left open"])
def test_the_teacher_is_never_the_student(toy_collection, tmp_path, monkeypatch, machine, asked, given):
    monkeypatch.setenv("ST_MTA_PRECISION", machine)
    teacher = tiny_sentence_transformer(1)
    if given != "model":
        precision = {"fp32": "fp32", "bf16": "bf16", "open": "auto"}[given.split()[-1]]
        teacher = BiEncoderScorer(teacher, name="T", precision=precision)
    with pytest.raises(InputError, match="not its own teacher"):
        MultiAssistantTrainer(
            tiny_sentence_transformer(1),
            toy_arguments(tmp_path, precision=asked),
            teacher=teacher,
            collection=toy_collection,
        )


@pytest.mark.parametrize(
    ("machine", "options", "expected"),
    [
        ("bf16", {}, True),
        ("fp32", {}, False),
        ("bf16", {"precision": "fp32"}, False),
        ("fp32", {"precision": "bf16"}, True),
        ("fp32", {"bf16": True}, True),
        ("bf16", {"fp16": True}, False),
    ],
)
def test_one_place_decides(tmp_path, monkeypatch, machine, options, expected):
    monkeypatch.setenv("ST_MTA_PRECISION", machine)
    assert computes_in_bf16(toy_arguments(tmp_path, **{"precision": "auto", **options})) is expected


def test_a_contradiction_is_refused(tmp_path):
    with pytest.raises(InputError, match="bf16 and precision to agree"):
        computes_in_bf16(toy_arguments(tmp_path, bf16=True, precision="fp32"))
