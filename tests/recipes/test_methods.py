"""Every recipe trains a student on a toy collection, which then loads; and the table of systems names all of them."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from torch import nn
from transformers import set_seed

from st_mta.cli import distill as command
from st_mta.cli.main import main
from st_mta.cli.parse import parse
from st_mta.collections.view import View
from st_mta.mining import mine
from st_mta.recipes import load_recipe, recipe_names
from st_mta.recipes.by_name import FOLDER
from st_mta.recipes.distill import DistillConfig, training_arguments
from st_mta.recipes.plan.steps import RandomRows
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BM25, BiEncoderScorer, CrossEncoderScorer
from st_mta.scorers.anncur import AnnCur
from st_mta.stores import Store
from st_mta.training.collator import listwise_dataset
from st_mta.training.distillation import Distillation
from st_mta.training.run_state import listwise_collator
from st_mta.training.stages.train import make_targets
from st_mta.training.student_folders import copied, save_student
from st_mta.training.students import answers
from tests.cli.test_main import data  # noqa: F401
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer

TABLE = (FOLDER / "README.md").read_text(encoding="utf-8")
BI_ENCODER_TEACHES = {"jasper", "leaf", "tct-colbert", "ted", "vkd"}
SMALL = {"num_iterations": 1, "max_eval_queries": 5, "eval_depth": 10, "range_max": 10, "device": "cpu", "seed": 1}
BATCH = 4
LONGEST_LIST = 6
SYSTEMS = [
    "MTA4DPR", "MD2PR", "Margin-MSE", "TCT-ColBERT", "RocketQAv2", "AD-KD", "LEAD", "DiDE", "VIRT",
    "Simplified TinyBERT", "PLD", "BGE-M3", "CPRD", "Syntriever", "BiXSE", "PairDistill", "Rank-DistiLLM",
    "Listwise distillation with generated queries", "D2LLM", "LEAF", "Query-encoder alignment", "Jasper and Stella",
    "CERBERUS", "Gecko", "R2anker", "Augmented SBERT", "Poly-encoder", "Translate-Distill", "Trans-Encoder", "TED",
    "V_kD", "Sinkhorn KD", "MoSE", "Reinforced multi-teacher selection", "SimANS", "PROD", "Stratified sampling",
    "Weighted KL", "Adam", "DRAGON", "TAS-B", "GPL", "BERT rankers under distillation", "AS2", "AMD", "MiniLMv2",
    "Set-Encoder", "ListConRanker", "Uni-Encoder", "Listwise language models", "IDCM", "MaxP", "ANNCUR", "ADACUR",
]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Tiny models by what a recipe asks for, the frozen ones as scorers."""
    store = Store(tmp_path_factory.mktemp("models"))
    scorer = {"store": store, "precision": "fp32"}
    return {
        "student": tiny_sentence_transformer(1),
        "cross-encoder student": tiny_cross_encoder(5),
        "bi-encoder": BiEncoderScorer(tiny_sentence_transformer(2), name="B", **scorer),
        "cross-encoder": CrossEncoderScorer(tiny_cross_encoder(4), name="C", **scorer),
        "assistants": [BiEncoderScorer(tiny_sentence_transformer(3), name="A", **scorer), BM25(store=store)],
        "store": store,
    }


@pytest.fixture(scope="module")
def lists(toy_collection):
    """Lists of the first queries."""
    train = toy_collection.queries_of("train")[:BATCH]
    found = mine(toy_collection, train, [BM25()], toy_collection.qrels["train"], num_candidates=LONGEST_LIST)
    return replace(found, grades=found.positive.astype(np.int64))


def prefer(queries, first, second):
    """Prefers the longer passage of each pair."""
    return np.array([1.0 if len(one) > len(other) else 0.0 for one, other in zip(first, second)])


def score_lists(queries, lists):
    """Scores by length."""
    return [[float(len(passage)) for passage in passages] for passages in lists]


def generate(passages):
    """Two queries of each passage."""
    return [[" ".join(passage.split()[:3]), " ".join(passage.split()[-3:])] for passage in passages]


NAMED = dict.fromkeys(("collection", "teacher", "student", "output_dir"), "named")
OTHERS = {"query_generator": f"{__name__}:generate", "exits": [1], **NAMED, "teacher_view": "named"}
"""What a recipe may ask for."""
TEACHERS = {
    "pairdistill": f"pairwise:{__name__}:prefer",
    "list-scorer": f"list:{__name__}:score_lists",
}


def prepared(name, models, collection, output):
    """A run by the recipe, on models and a collection in memory; of a ladder the first step."""
    recipe = load_recipe(name)
    teacher = TEACHERS.get(name) or models["bi-encoder" if name in BI_ENCODER_TEACHES else "cross-encoder"]
    config = DistillConfig(
        recipe=name, **{**NAMED, **{need: OTHERS.get(need, ["a"]) for need in recipe.needs}, **SMALL}
    )
    arguments = training_arguments(replace(config, output_dir=str(output)))
    return Distillation.prepare(
        models["cross-encoder student" if "student" in recipe.needs else "student"],
        arguments,
        AnnCur(models["cross-encoder"], anchors=5) if name == "anncur" else teacher,
        models["assistants"],
        collection,
        store=models["store"],
        teacher_view=View(corpus=collection.corpus) if "teacher_view" in recipe.needs else None,
    )


def one_step(run, lists, collection):
    """A step of an iteration's training on these lists, as the run would make it; the student."""
    set_seed(1)
    student = copied(run.students.original)
    loss = run.make_loss(student, make_targets(run.pool, run.arguments), None)
    scores = np.random.default_rng(0).standard_normal((len(run.pool.scorers), len(lists.passages)))
    scored = ScoredCandidates(lists, scores.astype(np.float32))
    columns = ("query", "documents") if run.settled.regression_weight else ()
    regressed = {column: RandomRows(32) for column in columns}
    collator = listwise_collator(student, loss, run.arguments, "cpu", collection.corpus, regressed)
    dataset = listwise_dataset(scored, collection.queries)
    collator.teacher = run.teacher_of_batches()
    collator.tokenise(dataset)
    student.train()
    batch = collator([dataset[place] for place in range(len(dataset))])
    value = loss(*SentenceTransformerTrainer.collect_features(None, batch))
    sum(value.values() if isinstance(value, dict) else [value]).backward()
    nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    torch.optim.SGD(student.parameters(), lr=0.1).step()
    return student


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_trains_a_student_that_loads(name, models, lists, toy_collection, tmp_path):
    run = prepared(name, models, toy_collection, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    student = one_step(run, lists, toy_collection)
    save_student(student, tmp_path / "student")
    loaded = type(student)(str(tmp_path / "student"), device="cpu")
    before, after, again = (answers(model, ["cat dog"])[0] for model in (run.students.original, student, loaded))
    assert not torch.allclose(before, after) and torch.isfinite(after).all()
    assert torch.allclose(again, after, atol=1e-5)


def test_a_run_says_which_recipe_it_came_from(data, tmp_path, capsys):  # noqa: F811
    saved(tiny_cross_encoder(4), tmp_path / "teacher")
    line = ["distill", "--recipe", "mta4dpr", "--collection", data / "data", "--teacher", tmp_path / "teacher"]
    line += ["--student", data / "student", "--assistants", data / "teacher", "bm25", "--output-dir", tmp_path / "out"]
    line += ["--num-iterations", 1, "--num-candidates", 4, "--eval-depth", 10, "--device", "cpu"]
    assert main([str(word) for word in line]) == 0
    assert "Student" in capsys.readouterr().out
    kept = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert kept["recipe"] == report["recipe"] == "mta4dpr" and kept["alpha"] == 0.5
    assert SentenceTransformer(str(tmp_path / "out" / "student"), device="cpu").get_embedding_dimension() == 32


def rows_of_the_table():
    """System, what it is here, and how, of every row."""
    rows = [line.strip("|").split("|") for line in TABLE.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_of_the_field_is_in_the_table(system):
    assert [row for row in rows_of_the_table() if system in re.split(r", | \(", row[0])]


def test_every_recipe_is_in_the_table_and_every_recipe_there_exists():
    named = re.findall(r"--recipe ([a-z0-9-]+)", TABLE)
    assert set(named) - {"NAME"} == set(recipe_names())


def test_every_system_has_a_word_a_recipe_or_a_reason():
    for system, _, how in rows_of_the_table():
        assert "`" in how or re.match(r"not offered: .{20}", how), system


@pytest.mark.parametrize("words", sorted(set(re.findall(r"`(--[^`]+)`", TABLE))))
def test_every_word_in_the_table_is_one_that_the_command_takes(words):
    chosen = shlex.split(words)
    recipe = load_recipe(chosen[chosen.index("--recipe") + 1]).needs if "--recipe" in chosen else {}
    line = []
    for name in dict.fromkeys(["collection", "teacher", "student", "output_dir", *recipe]):
        flag = f"--{name.replace('_', '-')}"
        line += [flag, "1" if name == "exits" else "a"] if flag not in chosen else []
    assert parse(command.Config, [*line, *chosen], "distill", "")
