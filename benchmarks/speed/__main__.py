"""One iteration of st_mta beside the stock pipeline: same models, same lists, same steps, station by station.

    python -m benchmarks.speed [--queries 1000] [--seeds 3]

Stock: mine_hard_negatives, CrossEncoder.predict, a stock trainer with DistillKLDivLoss, InformationRetrievalEvaluator.
Both train on the same candidates and the same targets. Needs the collection openbookqa ($ST_MTA_DATA).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
    CrossEncoder,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from sentence_transformers.util import mine_hard_negatives

from benchmarks.environment import data_folder, environment
from st_mta.collections import load_collection
from st_mta.evaluation import evaluate_scorer
from st_mta.losses import ListwiseKLLoss
from st_mta.mining import mine
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, model_path
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.checkpoints import train_with_checkpoints
from st_mta.training.collator import FlatDocumentsCollator, listwise_dataset
from st_mta.training.students import prune_layers
from st_mta.types import Candidates, Collection

NUM_CANDIDATES = 8
BATCH_SIZE = 32
LEARNING_RATE = 1e-4
SCALE = 20.0


def main() -> None:
    """Runs every station both ways, alternating, and writes seconds, ratios and the students' quality."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("result.json"))
    options = parser.parse_args()
    folder = data_folder()
    collection = load_collection(folder / "openbookqa")
    queries = collection.queries_of("train")[: options.queries]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bench = Bench(collection, queries, device)
    seconds: dict[str, dict[str, list[float]]] = {"stock": {}, "st_mta": {}}

    def timed(side: str, station: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        seconds[side].setdefault(station, []).append(time.perf_counter() - start)
        print(f"{side:6} {station:8} {seconds[side][station][-1]:7.1f} s", flush=True)
        return result

    timed("stock", "mine", bench.stock_mine)
    lists = timed("st_mta", "mine", bench.mine)
    timed("stock", "score", partial(bench.stock_score, lists))
    timed("st_mta", "score", partial(bench.score, lists))
    labels = bench.labels(lists)
    quality: dict[str, list[float]] = {"stock": [], "st_mta": []}
    for seed in range(options.seeds):
        student = timed("stock", "train", partial(bench.stock_train, lists, labels, seed))
        timed("stock", "evaluate", partial(bench.stock_evaluate, student))
        quality["stock"].append(bench.quality(student))
        student = timed("st_mta", "train", partial(bench.train, lists, labels, seed))
        quality["st_mta"].append(timed("st_mta", "evaluate", partial(bench.quality, student)))
    medians = {side: {s: statistics.median(v) for s, v in stations.items()} for side, stations in seconds.items()}
    ratio = {station: medians["st_mta"][station] / medians["stock"][station] for station in medians["stock"]}
    ratio["iteration"] = sum(medians["st_mta"].values()) / sum(medians["stock"].values())
    result = {
        "seconds": medians,
        "ratio": {station: round(value, 3) for station, value in ratio.items()},
        "ndcg@10": quality,
        "queries": len(queries),
        "candidates": NUM_CANDIDATES,
        "environment": environment(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({"ratio": result["ratio"], "ndcg@10": quality}))


class Bench:
    """The stations of both pipelines around the same models.

    Args:
        collection: openbookqa.
        queries: Positions of the training queries.
        device: "cpu" or "cuda".
    """

    def __init__(self, collection: Collection, queries: np.ndarray, device: str) -> None:
        self.collection, self.queries, self.device = collection, queries, device
        self.weights = model_path("minilm")
        self.retriever = SentenceTransformer(self.weights, device=device)
        # The head is random, since speed does not depend on what a teacher knows; both students learn `labels`.
        torch.manual_seed(0)
        self.teacher = CrossEncoder(self.weights, num_labels=1, device=device)
        self.work = Path(tempfile.mkdtemp(prefix="speed-"))

    def student(self) -> SentenceTransformer:
        """A fresh three-layer student."""
        return prune_layers(SentenceTransformer(self.weights, device=self.device), [0, 2, 5])

    def texts(self, lists: Candidates) -> tuple[list[str], list[list[str]]]:
        """Query texts and their candidates' texts."""
        flat = self.collection.corpus.take(lists.passages)
        rows = [flat[start:end] for start, end in zip(lists.offsets[:-1], lists.offsets[1:])]
        return self.collection.queries.take(lists.queries), rows

    def labels(self, lists: Candidates) -> np.ndarray:
        """What both students learn: the retriever's similarities as logits (not timed)."""
        scorer = BiEncoderScorer(self.retriever, store=Store(self.work / "labels"))
        pairs = lists.pair_queries, lists.passages
        return SCALE * scorer.score(self.collection.queries, self.collection.corpus, *pairs)

    # The stock pipeline

    def stock_mine(self) -> Dataset:
        """Seven hard negatives per query."""
        qrels = self.collection.qrels["train"]
        ids = self.collection.queries.take_ids(self.queries)
        positives = [self.collection.corpus[next(iter(qrels[query_id]))] for query_id in ids]
        return mine_hard_negatives(
            Dataset.from_dict({"query": self.collection.queries.take(self.queries), "positive": positives}),
            self.retriever,
            corpus=self.collection.corpus.take(range(len(self.collection.corpus))),
            num_negatives=NUM_CANDIDATES - 1,
            output_format="n-tuple",
            verbose=False,
        )

    def stock_score(self, lists: Candidates) -> np.ndarray:
        """Every pair, raw logits, at the host's default batch size."""
        queries, rows = self.texts(lists)
        pairs = [(query, passage) for query, passages in zip(queries, rows) for passage in passages]
        return self.teacher.predict(pairs, activation_fn=torch.nn.Identity())

    def stock_train(self, lists: Candidates, scores: np.ndarray, seed: int) -> SentenceTransformer:
        """One epoch of the host's KL loss over columns, in its precision and with its defaults."""
        queries, rows = self.texts(lists)
        columns = {"query": queries, **{f"passage_{i}": [row[i] for row in rows] for i in range(NUM_CANDIDATES)}}
        dataset = Dataset.from_dict({**columns, "label": scores.reshape(-1, NUM_CANDIDATES).tolist()})
        student = self.student()
        loss = DistillKLDivLoss(student, student_temperature=1 / SCALE, teacher_temperature=1.0)
        arguments = SentenceTransformerTrainingArguments(
            str(self.work / "stock"),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=self.device == "cpu",
        )
        SentenceTransformerTrainer(student, arguments, dataset, loss=loss).train()
        return student

    def stock_evaluate(self, student: SentenceTransformer) -> dict[str, float]:
        """The host's evaluator on the test split."""
        qrels = self.collection.qrels["test"]
        evaluator = InformationRetrievalEvaluator(
            {query_id: self.collection.queries[query_id] for query_id in qrels},
            dict(zip(self.collection.corpus.ids, self.collection.corpus.take(range(len(self.collection.corpus))))),
            {query_id: {p for p, grade in judged.items() if grade > 0} for query_id, judged in qrels.items()},
        )
        return evaluator(student)

    # st_mta

    def mine(self) -> Candidates:
        """The same number of candidates from the same retriever; lists that fall short are left out of both sides."""
        scorer = BiEncoderScorer(self.retriever, store=Store(self.work / "store"))
        lists = mine(
            self.collection, self.queries, [scorer], self.collection.qrels["train"], num_candidates=NUM_CANDIDATES
        )
        return lists.select(np.flatnonzero(lists.lengths == NUM_CANDIDATES))

    def score(self, lists: Candidates) -> np.ndarray:
        """Every pair, into a store."""
        scorer = CrossEncoderScorer(self.teacher, store=Store(self.work / "store"))
        return scorer.score(self.collection.queries, self.collection.corpus, lists.pair_queries, lists.passages)

    def train(self, lists: Candidates, scores: np.ndarray, seed: int) -> SentenceTransformer:
        """One epoch over the same lists in the same number of steps."""
        student = self.student()
        arguments = MultiAssistantTrainingArguments(
            str(self.work / f"steps-{seed}"),
            seed=seed,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=self.device == "cpu",
        )
        collator = FlatDocumentsCollator(
            student.preprocess,
            corpus=self.collection.corpus,
            documents_per_forward=32 if self.device == "cpu" else None,
        )
        dataset = listwise_dataset(ScoredCandidates(lists, scores[None]), self.collection.queries)
        loss = ListwiseKLLoss(student, scale=SCALE)
        train_with_checkpoints(student, arguments, dataset, collator, loss)
        return student

    def quality(self, student: SentenceTransformer) -> float:
        """nDCG@10 on the test split."""
        scorer = BiEncoderScorer(student, name="student", store=Store(self.work / f"students-{time.time_ns()}"))
        return evaluate_scorer(scorer, self.collection, "test")[1]["ndcg@10"]


if __name__ == "__main__":
    main()
