"""``--shard`` of ``st-mta score`` and ``st-mta encode``: shares are stored, the command without it collects."""

from __future__ import annotations

import pytest

from st_mta.cli.main import main
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer
from st_mta.trec import read_run
from tests.cli.test_main import data, refused  # noqa: F401
from tests.tiny import saved, tiny_cross_encoder


@pytest.fixture(scope="module")
def cross(data):  # noqa: F811
    return saved(tiny_cross_encoder(5), data / "cross")


@pytest.fixture
def scoring(data, cross, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(CrossEncoderScorer, "part_size", 4)
    pairs = tmp_path / "pairs.trec"
    pairs.write_text("".join(f"q{q} Q0 p{p} {p} {1 / (p + 1)} x\n" for q in range(3) for p in range(5)))
    command = ["score", "--collection", data / "data", "--scorer", cross, "--pairs", pairs, "--precision", "fp32"]
    return [str(part) for part in [*command, "--store", tmp_path / "store", "--output", tmp_path / "scores.trec"]]


@pytest.fixture
def encoding(data, tmp_path):  # noqa: F811
    command = ["encode", "--collection", data / "data", "--model", data / "student", "--store", tmp_path / "store"]
    return [str(part) for part in [*command, "--precision", "fp32"]]


def test_shards_store_and_the_same_command_without_collects(scoring, tmp_path, capsys):
    output = tmp_path / "scores.trec"
    assert main([*scoring, "--shard", "1/2"]) == 0
    assert capsys.readouterr().out == f"shard 1 of 2: 7 pairs stored; run without --shard to write {output}\n"
    assert not output.exists()
    assert main([*scoring, "--shard", "2/2"]) == 0
    assert "shard 2 of 2: 8 pairs stored" in capsys.readouterr().out
    assert main(scoring) == 0
    assert "(0 scored, 15 reused)" in capsys.readouterr().out
    alone = [*scoring]
    for flag, name in (("--output", "alone.trec"), ("--store", "other")):
        alone[alone.index(flag) + 1] = str(tmp_path / name)
    assert main(alone) == 0
    assert read_run(tmp_path / "alone.trec") == read_run(output)


def test_a_shard_that_is_missing_is_computed_by_whoever_collects(scoring, capsys):
    assert main([*scoring, "--shard", "1/2"]) == main(scoring) == 0
    assert "(8 scored, 7 reused)" in capsys.readouterr().out


def test_encode_fills_the_store(encoding, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("st_mta.scorers.embedding.BLOCK_SIZE", 16)
    assert main([*encoding, "--shard", "1/2", "--role", "passages"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"shard 1 of 2: 28 embeddings stored in {tmp_path / 'store'} (28 encoded, 0 reused); run ")
    assert main([*encoding, "--role", "queries"]) == 0
    assert capsys.readouterr().out == f"40 embeddings stored in {tmp_path / 'store'} (40 encoded, 0 reused)\n"
    assert main(encoding) == 0
    assert "100 embeddings stored in" in (said := capsys.readouterr().out) and "(32 encoded, 68 reused)" in said


def test_what_was_encoded_is_not_encoded_again(encoding, data, tmp_path, monkeypatch):  # noqa: F811
    assert main(encoding) == 0
    monkeypatch.setattr(BiEncoderScorer, "encode", lambda *_: pytest.fail("encoded again"))
    command = ["mine", "--collection", data / "data", "--retrievers", data / "student", "--precision", "fp32"]
    more = ["--store", tmp_path / "store", "--output", tmp_path / "mined.parquet"]
    assert main([str(part) for part in [*command, *more]]) == 0


@pytest.mark.parametrize("shard", ["0/4", "5/4", "3", "a/b"])
def test_bad_shards(scoring, encoding, capsys, shard):
    for command in (scoring, encoding):
        assert "such as 3/16" in refused(capsys, *command, "--shard", shard)


def test_the_precision_must_be_named(scoring, encoding, capsys):
    for command in (scoring, encoding):
        place = command.index("--precision")
        said = refused(capsys, *command[:place], *command[place + 2 :], "--shard", "1/2")
        assert "write --precision fp32 (or bf16)" in said and "with --shard and without" in said


def test_only_what_has_embeddings_is_encoded(data, cross, capsys):  # noqa: F811
    assert "a bi-encoder" in refused(capsys, "encode", "--collection", data / "data", "--scorer", cross)
