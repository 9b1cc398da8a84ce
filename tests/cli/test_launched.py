"""Commands under torchrun and accelerate launch: shared or alone, printed once, one exit code, and never a hang."""

from __future__ import annotations

import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from st_mta.cli import launched
from st_mta.cli.launched import ALONE, HOW, Launch, as_lost, forget
from st_mta.cli.main import VERBS, main
from st_mta.scorers import CrossEncoderScorer, embedding
from tests.cli.commands_in_processes import SMALL, Line, run_commands
from tests.cli.test_main import data, distill_arguments  # noqa: F401
from tests.tiny import saved, tiny_cross_encoder

TWO = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}


@pytest.fixture
def rank_1(monkeypatch):
    for name, value in TWO.items():
        monkeypatch.setenv(name, value)


def test_the_table_has_every_verb():
    assert list(HOW) == list(VERBS)


def test_what_a_launcher_says():
    assert Launch.of(TWO) == Launch(1, 2, 1)
    assert Launch.of({"RANK": "3", "WORLD_SIZE": "8"}) == Launch(3, 8, 0)
    for nothing in ({}, {"RANK": "1"}, {"RANK": "x", "WORLD_SIZE": "2"}, {"RANK": "2", "WORLD_SIZE": "2"}):
        assert Launch.of(nothing) == Launch()


@pytest.mark.parametrize("verb", [verb for verb in VERBS if HOW[verb] == ALONE])
def test_rank_0_is_alone_and_the_others_end_at_once(rank_1, verb, capsys, monkeypatch):
    monkeypatch.setattr(launched, "join", lambda _: pytest.fail("joined"))
    assert main([verb, "--wrong-option"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("line", [[], ["--help"], ["--version"], ["nonsense"], ["score", "--help"], ["distill", "-h"]])
def test_only_rank_0_says_what_there_is(rank_1, line, capsys):
    assert main(line) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("flag", ["--plan", "--plan_json"])
def test_a_plan_is_made_by_rank_0_alone(rank_1, flag, capsys, monkeypatch):
    monkeypatch.setattr(launched, "join", lambda _: pytest.fail("joined"))
    assert main(["distill", flag]) == 0
    assert capsys.readouterr() == ("", "")


def test_alone_means_without_a_trace_of_the_launcher(rank_1, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert main(["cache", "--store", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out and "st-mta cache runs in one process; the other 1 have ended." in said.err
    assert Launch.of(os.environ) == Launch() and os.environ["ACCELERATE_USE_CPU"] == "true"
    assert not {*TWO, "TORCHELASTIC_RUN_ID"} & {*os.environ}


def test_what_accelerate_reads_is_forgotten():
    environment = {"MASTER_ADDR": "a", "MASTER_PORT": "1", "ACCELERATE_USE_FSDP": "true", "GROUP_ID": "7", **TWO}
    forget(environment)
    assert environment == {"GROUP_ID": "7"}


@pytest.fixture(scope="module")
def shared(data, tmp_path_factory):  # noqa: F811
    """What two processes printed that worked and that found a finished run; and the folder of all that."""
    folder = tmp_path_factory.mktemp("shared")
    saved(tiny_cross_encoder(5), folder / "cross")
    write_pairs(folder / "pairs.trec")
    distilling = distill_arguments(data, folder / "out")
    assert main([str(word) for word in distilling]) == 0
    lines = [*scoring(data, folder, "two"), distilling, *others(data, folder)]
    return folder, run_commands(folder / "files", 2, *map(Line, lines))


def write_pairs(path):
    path.write_text("".join(f"q{q} Q0 p{p} {p} {1 / (p + 1)} x\n" for q in range(9) for p in range(30)))


def others(data, folder):  # noqa: F811
    """Commands that share their work, and the file that each writes."""
    common = ["--collection", data / "data", "--store", folder / "others"]
    return [
        ["encode", "--model", data / "student", *common],
        ["mine", "--retrievers", "bm25", data / "student", "--output", folder / "mined.parquet", *common],
        ["evaluate", "--model", "bm25", data / "student", "--output-dir", folder / "measures", *common],
        ["diagnose", "--teacher", folder / "cross", "--assistants", "bm25", "--output-dir", folder / "found", *common],
    ]


def scoring(data, folder, store):  # noqa: F811
    common = ["score", "--collection", data / "data", "--pairs", folder / "pairs.trec", "--store", folder / store]
    models = ("cross", folder / "cross"), ("bi", data / "student")
    return [[*common, "--scorer", model, "--output", folder / f"{store}-{name}.parquet"] for name, model in models]


def test_a_lost_connection_is_no_bug():
    gone = RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:10643")
    said = as_lost(gone, Launch(1, 2, 1))
    assert said is not None and "one that has ended (rank 1 noticed: [pair.cc:553]" in str(said)
    assert as_lost(gone, Launch()) is None and as_lost(RuntimeError("a bug"), Launch(1, 2, 1)) is None
    assert as_lost(ValueError("connection reset by peer"), Launch(1, 2, 1)) is None


def test_work_is_shared_and_told_once(shared, data, monkeypatch):  # noqa: F811
    folder, (cross, bi, *_) = shared
    assert [rank["code"] for rank in cross + bi] == [0] * 4
    assert "270 pairs in" in cross[0]["out"] and "(270 scored, 0 reused)" in cross[0]["out"]
    assert cross[1]["out"] == cross[1]["err"] == bi[1]["out"] == bi[1]["err"] == ""
    assert [rank["parts"]["CrossEncoderScorer"] for rank in cross] == [3, 2], "five parts of 270 pairs"
    monkeypatch.setattr(embedding, "BLOCK_SIZE", SMALL)
    monkeypatch.setattr(CrossEncoderScorer, "part_size", SMALL)
    for line in scoring(data, folder, "one"):
        assert main([str(word) for word in line]) == 0
    for name in ("cross", "bi"):
        alone, several = (pq.read_table(folder / f"{store}-{name}.parquet") for store in ("one", "two"))
        assert alone.equals(several), "bit for bit"


def test_the_other_commands_that_share_end_well(shared):
    folder, (_, _, _, *found) = shared
    assert [[rank["code"] for rank in ranks] for ranks in found] == [[0, 0]] * 4, [ranks[0]["err"] for ranks in found]
    assert all(first["out"] and second["out"] == second["err"] == "" for first, second in found)
    assert "(100 encoded, 0 reused)" in found[0][0]["out"]
    written = ("mined.parquet", "measures/results.json", "found/diagnosis.json")
    assert all((folder / name).exists() for name in written)


def test_distill_finds_its_run_whatever_the_number_of_processes(shared):
    folder, (_, _, (first, second), *_) = shared
    assert (first["code"], second["code"]) == (0, 0), first["err"]
    assert "from sentence_transformers import SentenceTransformer" in first["out"]
    assert second["out"] == second["err"] == ""
    assert (folder / "out" / "config.yaml").exists() and not (folder / "out" / ".lock").exists()


@pytest.fixture(scope="module")
def refusals(data, tmp_path_factory):  # noqa: F811
    """What two processes printed of commands that failed, by what failed."""
    folder = tmp_path_factory.mktemp("refusals")
    (folder / "file").write_text("no folder")
    line = distill_arguments(data, folder / "out")
    lines = {
        "score": Line(["score", "--wrong-option", "1"]),
        "distill": Line(["distill", "--wrong-option", "1"]),
        "file": Line(distill_arguments(data, folder / "file")),
        "0": Line(line, {0: "a"}),
        "1": Line(line, {1: "b"}),
        "both": Line(line, {0: "a", 1: "b"}),
        "bug": Line(line, {0: "!a bug"}),
    }
    found = dict(zip(lines, run_commands(folder / "files", 2, *lines.values())))
    assert not (folder / "out").exists()
    return found


@pytest.mark.parametrize("verb", ["score", "distill"])
def test_a_wrong_option_is_said_once(refusals, verb):
    first, second = refusals[verb]
    assert first["code"] == second["code"] == 2
    assert "unknown '--wrong-option'" in first["err"] and first["err"].count("\n") == 1
    assert second["out"] == second["err"] == ""


def test_what_rank_0_refuses_is_said_once(refusals):
    first, second = refusals["file"]
    assert first["code"] == second["code"] == 2
    assert "st-mta distill: Expected an output folder" in first["err"] and first["err"].count("\n") == 1
    assert second["out"] == second["err"] == ""


@pytest.mark.parametrize(("which", "teller", "message"), [("0", 0, "a"), ("1", 1, "b"), ("both", 0, "a")])
def test_where_one_rank_cannot_go_on_none_does(refusals, which, teller, message):
    ranks = refusals[which]
    assert [rank["code"] for rank in ranks] == [2, 2]
    name = "st-mta distill" if teller == 0 else "st-mta distill, rank 1"
    assert ranks[teller]["err"] == f"{name}: Expected nothing of this kind, got {message}. To do: try again.\n"
    assert ranks[1 - teller]["err"] == ""


def test_what_no_user_can_mend_is_raised_where_it_was(refusals):
    first, second = refusals["bug"]
    assert first["code"] == "ZeroDivisionError: !a bug" and second["code"] in (1, 2)
    assert second["err"] == ""


def test_torchrun(data, tmp_path):  # noqa: F811
    cross = saved(tiny_cross_encoder(5), tmp_path / "cross")
    pairs, output = tmp_path / "pairs.trec", tmp_path / "scores.parquet"
    write_pairs(pairs)
    command = ["score", "--collection", data / "data", "--scorer", cross, "--pairs", pairs, "--output", output]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "st_mta"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*launcher, *map(str, command)], capture_output=True, text=True, timeout=300, env=environment
    )
    assert (done.returncode, done.stdout.count("270 pairs in")) == (0, 1), done.stderr
    assert pq.read_metadata(output).num_rows == 270
