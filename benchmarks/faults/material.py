"""What the drills work on: models of two layers, a collection of 60 passages, and the run that nothing disturbed."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from safetensors.torch import load_file

from benchmarks.faults.processes import Finished, run
from tests.tiny import WORDS, saved, tiny_cross_encoder, tiny_sentence_transformer

SPLITS = {"train": range(24), "dev": range(24, 32), "test": range(32, 40)}


class Material:
    """Models, collection and the undisturbed run in a folder; made once and used again when the drills resume.

    Args:
        work: The working folder.

    Attributes:
        whole: The output folder of the undisturbed run.
        seconds: How long it took.
    """

    def __init__(self, work: Path) -> None:
        self.work, self.models, self.collection = work, work / "models", work / "collection"
        self.whole, self.store, mark = work / "whole", work / "whole-store", work / "material.json"
        if not mark.exists():
            for folder in (self.models, self.collection, self.whole, self.store):
                shutil.rmtree(folder, ignore_errors=True)
            self._make()
            mark.write_text(json.dumps(self._undisturbed()))
        self.seconds: float = json.loads(mark.read_text())

    def _make(self) -> None:
        saved(tiny_cross_encoder(5), self.models / "teacher")
        saved(tiny_sentence_transformer(3), self.models / "assistant")
        saved(tiny_sentence_transformer(1), self.models / "student")
        write_collection(self.collection)

    def _undisturbed(self) -> float:
        for _ in range(2):  # the first also imports what is not loaded before it is needed
            for folder in (self.whole, self.store):
                shutil.rmtree(folder, ignore_errors=True)
            done = run(self.distill(self.whole, self.store), self.work / "here")
            if done.code != 0:
                raise SystemExit(f"The undisturbed run failed: {done.printed}")
        return done.seconds

    def distill(self, output: Path | str, store: Path | str, *more: str) -> list[str]:
        """The command of a run with checkpoints at every second step."""
        return [
            "distill", "--collection", str(self.collection), "--teacher", str(self.models / "teacher"),
            "--assistants", str(self.models / "assistant"), "bm25", "--student", str(self.models / "student"),
            "--output-dir", str(output), "--store", str(store), "--num-iterations", "2", "--patience", "5",
            "--num-candidates", "5", "--batch-size", "6", "--regression-epochs", "1", "--device", "cpu",
            "--precision", "fp32", "--training", '{"save_steps": 2, "logging_steps": 1}', *more,
        ]  # fmt: skip

    def differs(self, output: Path) -> str:
        """How a finished run differs from the undisturbed one; empty if it is equal."""
        names = ["student", *(f"iteration-{index:02d}/student" for index in range(2)), "warm-up/student"]
        for name in names:
            ours, theirs = (root / name / "model.safetensors" for root in (output, self.whole))
            if theirs.exists() and not ours.exists():
                return f"no {name}"
            if theirs.exists() and not same_weights(ours, theirs):
                return f"other weights in {name}"
        for run_file in sorted((self.whole / "runs").glob("*.trec")):
            if not (output / "runs" / run_file.name).exists():
                return f"no run file {run_file.name}"
            if (output / "runs" / run_file.name).read_bytes() != run_file.read_bytes():
                return f"another run file {run_file.name}"
        return ""

    def judged(self, done: Finished, output: Path, *, must_finish: bool = True) -> str:
        """What is wrong with a run that ended: as by ``Finished.wrong``, or other results; empty if nothing."""
        return done.wrong(*([0] if must_finish else [0, 2])) or (self.differs(output) if done.code == 0 else "")


def write_collection(folder: Path) -> None:
    """The collection, in BEIR's layout: 60 passages of 8 words, 40 queries of 3 words of their passage."""
    source = random.Random(0)
    corpus = [" ".join(source.choices(WORDS[26:], k=8)) for _ in range(60)]
    queries = [" ".join(source.sample(text.split(), 3)) for text in corpus[:40]]
    (folder / "qrels").mkdir(parents=True)
    for name, mark, texts in (("corpus", "p", corpus), ("queries", "q", queries)):
        rows = (json.dumps({"_id": f"{mark}{number}", "text": text}) for number, text in enumerate(texts))
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    for split, numbers in SPLITS.items():
        rows = (f"q{number}\tp{number}\t1" for number in numbers)
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")


def same_weights(first: Path, second: Path) -> bool:
    """Whether two files hold the same tensors, bit for bit."""
    a, b = load_file(first), load_file(second)
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)
