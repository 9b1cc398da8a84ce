"""The measures as float64 loops, written from their definitions; imports nothing of st_mta.

Rankings follow trec_eval: score in single precision downwards, then id downwards.
"""

from __future__ import annotations

import math
import struct


def single(score):
    return struct.unpack("f", struct.pack("f", score))[0]


def ranking(passages):
    return sorted(passages, key=lambda passage_id: (single(passages[passage_id]), passage_id), reverse=True)


def ndcg(passages, grades, depth=10):
    gained = 0.0
    for rank, passage_id in enumerate(ranking(passages)[:depth], start=1):
        gained += max(grades.get(passage_id, 0), 0) / math.log2(rank + 1)
    best = 0.0
    for rank, grade in enumerate(sorted(grades.values(), reverse=True)[:depth], start=1):
        best += max(grade, 0) / math.log2(rank + 1)
    return gained / best if best else 0.0


def mrr(passages, grades, depth=10):
    for rank, passage_id in enumerate(ranking(passages)[:depth], start=1):
        if grades.get(passage_id, 0) >= 1:
            return 1 / rank
    return 0.0


def average_precision(passages, grades):
    relevant = sum(grade >= 1 for grade in grades.values())
    found, total = 0, 0.0
    for rank, passage_id in enumerate(ranking(passages), start=1):
        if grades.get(passage_id, 0) >= 1:
            found += 1
            total += found / rank
    return total / relevant if relevant else 0.0


def recall(passages, grades, depth=100):
    relevant = {passage_id for passage_id, grade in grades.items() if grade >= 1}
    return len(relevant & set(ranking(passages)[:depth])) / len(relevant) if relevant else 0.0


REFERENCE = {"ndcg@10": ndcg, "mrr@10": mrr, "map": average_precision, "recall@100": recall}


def mean(measure, run, qrels):
    return sum(REFERENCE[measure](run.get(query_id, {}), grades) for query_id, grades in qrels.items()) / len(qrels)
