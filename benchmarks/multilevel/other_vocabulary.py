"""Word-level distillation across tokenizers: a WordPiece student learns token states from a byte-level BPE teacher.

    python -m benchmarks.multilevel.other_vocabulary [--collection openbookqa] [--seeds N ...] [--work-dir DIR]

The teacher is the tuned bi-encoder with a vocabulary of its own: byte-level BPE learned on the collection, the
embedding of a token the mean of the WordPiece tokens that spell it, then tuned to give the old embeddings again. The
student, three layers of MiniLM, sees the word level alone: no labels, no scores, no sentence embeddings. Beside it the
same with the teacher's old vocabulary.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import platformdirs
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from benchmarks.assistants.__main__ import quiet
from benchmarks.assistants.collections import SEED
from benchmarks.assistants.material import BASE, DEVICE, Material
from benchmarks.environment import data_folder, environment
from benchmarks.multilevel.budgets import BUDGETS
from st_mta.atomic import atomic_write_text
from st_mta.evaluation import evaluate_scorer
from st_mta.evaluation.measures import per_query
from st_mta.evaluation.significance import paired_test
from st_mta.losses import HiddenStateMSELoss
from st_mta.recipes.tune import column_dataset, remove_checkpoints, tune, tuning_lists
from st_mta.report import markdown_table
from st_mta.run.folder import remove_checkpoints as remove_warm_up
from st_mta.scorers import BiEncoderScorer, model_path
from st_mta.training.regression import regress_embeddings, regression_embeddings, regression_positions
from st_mta.training.students import DOCUMENTS, prune_layers

HERE = Path(__file__).parent
VOCABULARY = 4000
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
TEACHER_EPOCHS, LEARNING_RATE = 4.0, 1e-4
LAYERS = (0, 2, 5)
WORD_PIECE, BYTE_LEVEL = "its own (WordPiece)", "another (byte-level BPE)"


def main() -> None:
    """Makes the teacher, trains the students, writes other_vocabulary.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    budget = BUDGETS["cpu"]
    parser.add_argument("--collection", choices=list(budget.collections), default="openbookqa")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(budget.seeds))
    parser.add_argument("--work-dir", type=Path, default=Path(platformdirs.user_cache_dir("st_mta-assistants")))
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent, help="For other_vocabulary.json and .md."
    )
    options = parser.parse_args()
    data = data_folder()
    quiet()
    start = time.perf_counter()
    material = Material(options.collection, budget, data, options.work_dir / "cpu")
    teachers = {
        WORD_PIECE: SentenceTransformer(material.strong.model, device=DEVICE),
        BYTE_LEVEL: byte_level(material),
    }
    result = {
        "collection": material.name,
        "split": "test",
        "teachers": {name: measured(teacher, material)[0] for name, teacher in teachers.items()},
        **students(material, teachers, options.seeds),
        "seconds": round(time.perf_counter() - start),
        "environment": environment(),
    }
    options.output.mkdir(parents=True, exist_ok=True)
    atomic_write_text(options.output / "other_vocabulary.json", json.dumps(result, indent=2) + "\n")
    table = markdown_table(rows(result))
    atomic_write_text(options.output / "other_vocabulary.md", table + "\n")
    print(table)


def byte_level(material: Material) -> SentenceTransformer:
    """The teacher's bi-encoder with another vocabulary; made once."""
    folder = material.folder / "byte-level"
    if folder.exists():
        return SentenceTransformer(str(folder), device=DEVICE)
    strong = SentenceTransformer(material.strong.model, device=DEVICE)
    tables = material.collection.corpus, material.collection.queries
    texts = [text for table in tables for text in table.take(range(len(table)))]
    tokenizer = learn_tokenizer(texts, strong.max_seq_length)
    teacher = exchange_vocabulary(strong, tokenizer, folder.with_name(folder.name + ".untuned"))
    arguments = material.warm_up_arguments(folder, TEACHER_EPOCHS, SEED)
    target = material.scorer(material.strong.model, "strong")
    assert isinstance(target, BiEncoderScorer)
    regress_embeddings(
        teacher,
        texts={"query": material.collection.queries, DOCUMENTS: material.collection.corpus},
        positions=regression_positions(material.collection, arguments),
        targets=regression_embeddings(target, material.collection),
        arguments=arguments,
    )
    teacher.save(str(folder))
    remove_warm_up(Path(str(arguments.output_dir)))
    return teacher


def learn_tokenizer(texts: list[str], max_length: int) -> PreTrainedTokenizerFast:
    """Cased byte-level BPE, as RoBERTa has it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )


def exchange_vocabulary(
    model: SentenceTransformer, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> SentenceTransformer:
    """The model with this tokenizer and an embedding for each of its tokens, saved in a folder and loaded again."""
    backbone = model[0].model
    spelled = backbone.get_input_embeddings().weight.detach()
    new = torch.stack([_embedding(token, tokenizer, model.tokenizer, spelled) for token in range(len(tokenizer))])
    embeddings = nn.Embedding(len(new), new.shape[1], padding_idx=tokenizer.pad_token_id, _weight=new)
    backbone.set_input_embeddings(embeddings)
    backbone.config.vocab_size, backbone.config.pad_token_id = len(tokenizer), tokenizer.pad_token_id
    model.save(str(folder))
    (folder / "vocab.txt").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    return SentenceTransformer(str(folder), device=DEVICE)


def _embedding(
    token: int, tokenizer: PreTrainedTokenizerFast, old: PreTrainedTokenizerBase, spelled: torch.Tensor
) -> torch.Tensor:
    same = {"<s>": old.cls_token_id, "</s>": old.sep_token_id, "<pad>": old.pad_token_id, "<unk>": old.unk_token_id}
    name = tokenizer.convert_ids_to_tokens(token)
    pieces = [same[name]] if name in same else old.encode(tokenizer.decode([token]), add_special_tokens=False)
    return spelled[pieces or [old.unk_token_id]].mean(dim=0)


def students(material: Material, teachers: dict[str, SentenceTransformer], seeds: list[int]) -> dict[str, Any]:
    """nDCG@10 before and after, for every teacher and seed, with paired tests; and the share of aligned tokens."""
    lists = tuning_lists(material.collection, [material.scorer("bm25", "bm25")], material.tuning(num_negatives=1))
    dataset = column_dataset(material.collection, lists)[0]
    before, queries_before = measured(pruned(), material)
    after: dict[str, dict[str, float]] = {name: {} for name in teachers}
    tests, coverage, cost = {}, {}, {}
    for name, teacher in teachers.items():
        every_seed = []
        for seed in seeds:
            student = pruned()
            student.max_seq_length = material.budget.max_length
            loss = HiddenStateMSELoss(student, teacher=teacher)
            settings = replace(material.tuning(), batch_size=16, learning_rate=LEARNING_RATE, seed=seed)
            folder = material.folder / f"hidden-states-{seed}"
            cost[name] = tune(student, dataset, loss, settings, folder)
            remove_checkpoints(folder)
            after[name][str(seed)], of_queries = measured(student, material)
            every_seed.append(of_queries)
            coverage[name] = float(loss.coverage)
            print(f"{name} seed {seed}: {before:.4f} -> {after[name][str(seed)]:.4f}", flush=True)
        means = {query: mean(of_one[query] for of_one in every_seed) for query in queries_before}
        test = paired_test(means, queries_before)
        tests[name] = {"difference": test.difference, "interval": test.confidence_interval, "p_value": test.p_value}
    return {"before": before, "after": after, "tests": tests, "coverage_of_the_last_batch": coverage, "cost": cost}


def pruned() -> SentenceTransformer:
    """The untrained student."""
    return prune_layers(SentenceTransformer(model_path(BASE), device=DEVICE), list(LAYERS))


def measured(model: SentenceTransformer, material: Material) -> tuple[float, dict[str, float]]:
    """nDCG@10 on test: the mean, and of each query."""
    scorer = BiEncoderScorer(model, name="model", store=material.student_store, max_length=material.budget.max_length)
    run, measures = evaluate_scorer(scorer, material.collection, "test")
    return measures["ndcg@10"], per_query(run, material.collection.qrels["test"], "ndcg@10")


def rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """A row per vocabulary."""
    found = []
    for name, of_seeds in result["after"].items():
        low, high = result["tests"][name]["interval"]
        found.append(
            {
                "Teacher's vocabulary": name,
                "Aligned tokens": f"{result['coverage_of_the_last_batch'][name]:.0%}",
                "Teacher": f"{result['teachers'][name]:.3f}",
                "Student before": f"{result['before']:.3f}",
                "Student after": f"{mean(of_seeds.values()):.3f} ± {np.std(list(of_seeds.values()), ddof=1):.3f}",
                "Difference": f"{result['tests'][name]['difference']:+.3f} ({low:+.3f} to {high:+.3f})",
                "p": f"{result['tests'][name]['p_value']:.4f}",
            }
        )
    return found


if __name__ == "__main__":
    main()
