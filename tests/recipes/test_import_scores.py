"""Every form in which scores are published gives the same collection and the same scores."""

from __future__ import annotations

import gzip
import json
import logging
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from st_mta.collections.score_files import FORMS
from st_mta.errors import InputError
from st_mta.mining import load_candidates
from st_mta.recipes.import_scores import import_scores
from st_mta.scorers import BM25
from tests.training.toy_run import toy_trainer

TEXTS = {"d1": "Cats purr.", "d2": "Dogs bark.", "d3": "Fish swim."}
QUESTIONS = {"q1": "Who purrs?", "q2": "Who barks?"}
SCORES = {("q1", "d1"): 2.5, ("q1", "d3"): -1.0, ("q2", "d2"): 0.5, ("q2", "d1"): -3.25}
BY_TEXT = {(QUESTIONS[query], TEXTS[passage]): score for (query, passage), score in SCORES.items()}
GRADES = {"Who purrs?": {"Cats purr.": 1}, "Who barks?": {"Dogs bark.": 1}}

PYLATE = [
    {"query_id": "q1", "document_ids": ["d1", "d3"], "scores": [2.5, -1.0]},
    {"query_id": "q2", "document_ids": ["d2", "d1"], "scores": [0.5, -3.25]},
]
FLAG = [
    {"query": "Who purrs?", "pos": ["Cats purr."], "neg": ["Fish swim."], "pos_scores": [2.5], "neg_scores": [-1.0]},
    {"query": "Who barks?", "pos": ["Dogs bark."], "neg": ["Cats purr."], "pos_scores": [0.5], "neg_scores": [-3.25]},
]


def passage(passage_id, score):
    return {"docid": passage_id, "title": "", "text": TEXTS[passage_id], "score": score}


TEVATRON = [
    {
        "query_id": query,
        "query": QUESTIONS[query],
        "positive_passages": [passage(good, SCORES[query, good])],
        "negative_passages": [passage(bad, SCORES[query, bad])],
    }
    for query, good, bad in (("q1", "d1", "d3"), ("q2", "d2", "d1"))
]
TUPLES = [
    {"anchor": "Who purrs?", "positive": "Cats purr.", "negative_1": "Fish swim.", "scores": [2.5, -1.0]},
    {"anchor": "Who barks?", "positive": "Dogs bark.", "negative_1": "Cats purr.", "scores": [0.5, -3.25]},
]
LISTS = [
    {"query": "Who purrs?", "answer": ["Cats purr.", "Fish swim."], "labels": [1, 0], "scores": [2.5, -1.0]},
    {"query": "Who barks?", "answer": ["Dogs bark.", "Cats purr."], "labels": [1, 0], "scores": [0.5, -3.25]},
]
PAIRS = [
    {"question": query, "answer": text, "label": GRADES[query].get(text, 0), "score": score}
    for (query, text), score in BY_TEXT.items()
]
ROWS = [{"query_id": query, "passage_id": passage, "score": score} for (query, passage), score in SCORES.items()]
RECORDS = {
    "pylate": PYLATE,
    "flagembedding": FLAG,
    "tevatron": TEVATRON,
    "tuples": TUPLES,
    "lists": LISTS,
    "pairs": PAIRS,
    "scores": ROWS,
}
WITHOUT_TEXTS = ("pylate", "scores")


def write(path, records):
    """The records in the format that the name says."""
    if path.suffix == "":
        Dataset.from_list(records).save_to_disk(path)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(records, indent=1))
    else:
        text = "\n".join(map(json.dumps, records)).encode()
        path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path


@pytest.fixture
def texts(tmp_path):
    """Corpus and queries in files of their own; one passage more than there are scores for, and one query."""
    corpus = [{"document_id": key, "text": text} for key, text in [*TEXTS.items(), ("d4", "Birds sing.")]]
    queries = [{"query_id": key, "text": text} for key, text in [*QUESTIONS.items(), ("q3", "Who sings?")]]
    return {
        "corpus": write(tmp_path / "corpus.parquet", corpus),
        "queries": write(tmp_path / "queries.jsonl", queries),
    }


def scores_by_text(collection, teacher):
    """What the teacher knows of all pairs of the collection."""
    queries, passages = (axis.ravel() for axis in np.indices((len(collection.queries), len(collection.corpus))))
    scores = teacher.score(collection.queries, collection.corpus, queries, passages)
    pairs = zip(collection.queries.take(queries), collection.corpus.take(passages), scores.tolist())
    return {(query, text): score for query, text, score in pairs if not np.isnan(score)}


def judged_by_text(collection):
    return {
        collection.queries[query]: {collection.corpus[passage]: grade for passage, grade in grades.items()}
        for query, grades in collection.qrels.get("train", {}).items()
    }


ENDINGS = (".jsonl.gz", ".json", ".parquet", "")
OTHER_FORMATS = [(form, ending) for form in ("pylate", "tevatron") for ending in ENDINGS]


@pytest.mark.parametrize(("form", "ending"), [*((form, ".jsonl") for form in FORMS), *OTHER_FORMATS])
def test_every_form_in_every_format_gives_the_same_collection_and_scores(form, ending, texts, tmp_path, caplog):
    path = write(tmp_path / f"given{ending}", RECORDS[form])
    with caplog.at_level(logging.INFO, "st_mta"):
        collection, teacher = import_scores(path, tmp_path / "out", **(texts if form in WITHOUT_TEXTS else {}))
    assert f"is read as the form '{form}'" in caplog.text
    assert scores_by_text(collection, teacher) == BY_TEXT
    assert judged_by_text(collection) == ({} if form in WITHOUT_TEXTS else GRADES)
    assert len(collection.corpus) == (4 if form in WITHOUT_TEXTS else 3) and len(collection.queries) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name != "qrels") == [
        "corpus.jsonl",
        "queries.jsonl",
        "scores.parquet",
    ]


@pytest.mark.parametrize("name", ["ce.json", "ce.json.gz", "run.trec"])
def test_dictionaries_of_cross_encoders_and_runs(name, texts, tmp_path):
    path = tmp_path / name
    nested = {query: {p: s for (q, p), s in SCORES.items() if q == query} for query in QUESTIONS}
    lines = "".join(f"{query} Q0 {passage} 1 {score} tag\n" for (query, passage), score in SCORES.items())
    content = (lines if name.endswith("trec") else json.dumps(nested)).encode()
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    collection, teacher = import_scores(path, tmp_path / "out", **texts)
    assert scores_by_text(collection, teacher) == BY_TEXT


def test_scores_keep_the_order_of_the_file_and_equal_texts_have_one_id(tmp_path):
    records = [{**TUPLES[0], "negative_2": "Dogs bark.", "scores": [2.5, -1.0, 0.25]}, {**TUPLES[1], "scores": [1, 2]}]
    records[1]["negative_2"], records[1]["scores"] = "Fish swim.", [0.5, -3.25, 9.0]
    import_scores(write(tmp_path / "a.jsonl", records), tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "scores.parquet")
    assert table["score"].to_pylist() == [2.5, -1.0, 0.25, 0.5, -3.25, 9.0]
    assert table.schema.names == ["query_id", "passage_id", "score"]
    passages = table["passage_id"].to_pylist()
    assert passages[:3] == [passages[4], passages[5], passages[3]] and len(set(passages)) == 3


def test_triplets_repeat_their_positive_which_counts_once(tmp_path, caplog):
    first = {"query": "Who purrs?", "answer": "Cats purr.", "negative": "Fish swim.", "scores": [2.5, -1.0]}
    second = {**first, "negative": "Dogs bark.", "scores": [2.0, 0.5]}
    with caplog.at_level(logging.INFO, "st_mta"):
        collection, teacher = import_scores(write(tmp_path / "a.jsonl", [first, second]), tmp_path / "out")
    of = {text: score for (_, text), score in scores_by_text(collection, teacher).items()}
    assert of == {"Cats purr.": 2.5, "Fish swim.": -1.0, "Dogs bark.": 0.5}
    assert "1 pairs have several scores" in caplog.text


def test_what_is_positive_once_is_positive_and_judgements_keep_their_order(tmp_path):
    first = {"query": "Who purrs?", "pos": ["Fish swim.", "Cats purr."], "neg": ["Dogs bark."]}
    second = {"query": "Who purrs?", "pos": ["Dogs bark."], "neg": ["Fish swim."]}
    collection, _ = import_scores(write(tmp_path / "a.jsonl", [first, second]), tmp_path / "out")
    assert list(judged_by_text(collection)["Who purrs?"].items()) == [
        ("Fish swim.", 1),
        ("Cats purr.", 1),
        ("Dogs bark.", 1),
    ]


def test_labels_are_grades(tmp_path):
    records = [{"query": "Who purrs?", "docs": list(TEXTS.values()), "labels": [3, 0, 1.0]}]
    collection, teacher = import_scores(write(tmp_path / "a.jsonl", records), tmp_path / "out")
    assert judged_by_text(collection) == {"Who purrs?": {"Cats purr.": 3, "Fish swim.": 1}}
    assert teacher is None
    pairs = pq.read_table(tmp_path / "out" / "pairs.parquet")
    assert len(pairs) == 3 and pairs.schema.names == ["query_id", "passage_id"]


def test_pairs_without_a_score_are_no_scores(tmp_path):
    records = [{**FLAG[0], "neg_scores": [None]}, {key: FLAG[1][key] for key in ("query", "pos", "neg")}]
    collection, teacher = import_scores(write(tmp_path / "a.jsonl", records), tmp_path / "out")
    assert scores_by_text(collection, teacher) == {("Who purrs?", "Cats purr."): 2.5}
    assert judged_by_text(collection) == GRADES


def test_titles_are_joined_as_in_beir_and_numbers_are_ids(tmp_path):
    records = json.loads(json.dumps(TEVATRON))
    records[0]["query_id"], records[0]["positive_passages"][0] = 7, {"docid": 12, "title": "Cats", "text": "purr."}
    collection, _ = import_scores(write(tmp_path / "a.jsonl", records), tmp_path / "out")
    assert collection.corpus["12"] == "Cats purr." and collection.qrels["train"]["7"] == {"12": 1}


def test_a_folder_in_beir_layout_brings_corpus_and_queries(tmp_path, caplog):
    beir = tmp_path / "beir"
    (beir / "qrels").mkdir(parents=True)
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n")
    write(beir / "corpus.jsonl", [{"_id": key, "title": "", "text": text} for key, text in TEXTS.items()])
    write(beir / "queries.jsonl", [{"_id": key, "text": text} for key, text in QUESTIONS.items()])
    with caplog.at_level(logging.INFO, "st_mta"):
        collection, teacher = import_scores(write(tmp_path / "a.jsonl", PYLATE), tmp_path / "out", corpus=beir)
    assert scores_by_text(collection, teacher) == BY_TEXT
    assert f"test.tsv of {beir / 'qrels'} are not imported" in caplog.text


def test_what_has_no_text_or_no_row_is_left_out_with_a_count(texts, tmp_path, caplog):
    records = [*PYLATE, {"query_id": "q9", "document_ids": ["d1"], "scores": [1.0]}]
    records[1] = {"query_id": "q2", "document_ids": ["d2", "d1", "d77"], "scores": [0.5, -3.25, 0.0]}
    with caplog.at_level(logging.INFO, "st_mta"):
        collection, teacher = import_scores(write(tmp_path / "a.jsonl", records), tmp_path / "out", **texts)
    assert scores_by_text(collection, teacher) == BY_TEXT
    assert "1 of 3 queries have scores and no text" in caplog.text
    assert "1 of 4 passages have scores and no text" in caplog.text
    assert "1 queries have no row" in caplog.text


def test_lists_written_as_text_in_parquet_are_read(texts, tmp_path):
    records = [{**record, **{key: repr(record[key]) for key in ("document_ids", "scores")}} for record in PYLATE]
    collection, teacher = import_scores(
        write(tmp_path / "a.parquet", records), tmp_path / "out", form="pylate", **texts
    )
    assert scores_by_text(collection, teacher) == BY_TEXT


def test_of_several_splits_the_one_for_training_counts(tmp_path):
    splits = DatasetDict(test=Dataset.from_list(FLAG[:1]), train=Dataset.from_list(FLAG))
    splits.save_to_disk(tmp_path / "d")
    assert len(import_scores(tmp_path / "d", tmp_path / "out")[0].queries) == 2
    DatasetDict(dev=splits["test"], test=splits["test"]).save_to_disk(tmp_path / "other")
    with pytest.raises(InputError, match="dev, test"):
        import_scores(tmp_path / "other", tmp_path / "no")


MALFORMED = [
    (PYLATE, {"scores": [1.0]}, "a score for each passage"),
    (PYLATE, {"document_ids": ["d1", None]}, "none of them missing"),
    (PYLATE, {"query_id": None}, "a query"),
    (PYLATE, {"scores": ["high", 1.0]}, r'DOUBLE\[\] under "scores"'),
    (PYLATE, {"scores": [1e300, 1.0]}, "single precision"),
    (PYLATE, {"scores": [float("nan"), 1.0]}, "single precision"),
    (FLAG, {"pos": None}, 'a list "pos"'),
    (FLAG, {"pos_scores": None}, "one of pos_scores for each of pos"),
    (FLAG, {"neg": "Fish swim."}, r'VARCHAR\[\] under "neg"'),
    (TEVATRON, {"positive_passages": [{"docid": "d1"}]}, "a list of passages"),
    (TUPLES, {"negative_1": None}, "a list of passages"),
    (TUPLES, {"scores": 0.5}, r'DOUBLE\[\] under "scores"'),
    (LISTS, {"labels": [0.7, 0]}, "whole numbers as labels"),
    (LISTS, {"labels": [1]}, "a label for each passage"),
    (PAIRS, {"answer": None}, "a list of passages"),
]


@pytest.mark.parametrize(
    ("records", "change", "expected"), MALFORMED, ids=[case[2] + str(n) for n, case in enumerate(MALFORMED)]
)
def test_a_malformed_record_is_refused_with_its_line(records, change, expected, tmp_path):
    path, good = tmp_path / "a.jsonl", json.dumps(records[0])
    path.write_text("\n".join([good, "", good, json.dumps({**records[1], **change}), good]))
    with pytest.raises(InputError, match=f"(?s)Expected .*{expected}.* at .*a.jsonl:4"):
        import_scores(path, tmp_path / "out")
    assert not (tmp_path / "out").exists() and [entry.name for entry in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("line", "got"), [('{"query_id": 1,', "no JSON"), ("[1]", "a list"), ('"\\ud800"', "no JSON")]
)
def test_lines_that_are_no_objects_are_refused(line, got, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([json.dumps(PYLATE[0]), line]))
    with pytest.raises(InputError, match=f"{got}.*a.jsonl:2"):
        import_scores(path, tmp_path / "out")


def test_a_malformed_row_of_a_table_is_named_by_its_number(tmp_path):
    path = write(tmp_path / "a.parquet", [PYLATE[0], {**PYLATE[1], "scores": [1.0]}])
    with pytest.raises(InputError, match="a score for each passage in a.parquet.* in row 2"):
        import_scores(path, tmp_path / "out")


def test_texts_that_are_missing_are_asked_for(texts, tmp_path):
    path = write(tmp_path / "a.jsonl", PYLATE)
    with pytest.raises(InputError, match="--queries"):
        import_scores(path, tmp_path / "out")
    with pytest.raises(InputError, match="--corpus"):
        import_scores(path, tmp_path / "out", queries=texts["queries"])
    with pytest.raises(InputError, match="corpus.*column id.* or|passages with a column"):
        import_scores(path, tmp_path / "out", corpus=write(tmp_path / "b.jsonl", [{"name": 1}]))


@pytest.mark.parametrize(
    ("name", "reader"), [("ce.pkl", "(open("), ("ce.pkl.gz", "gzip.open("), ("ce.json", "(open(")]
)
def test_pickles_are_refused_with_two_lines_that_turn_them_into_parquet(name, reader, texts, tmp_path, monkeypatch):
    nested = {"q1": {"d1": 2.5, "d3": -1.0}, "q2": {"d2": 0.5, "d1": -3.25}}
    content = pickle.dumps(nested)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(InputError, match="whatever program is in it") as refused:
        import_scores(tmp_path / name, tmp_path / "out")
    first, second = refused.value.remedy.split("`")[1::2]
    assert reader in first
    monkeypatch.chdir(tmp_path)
    exec(first + "\n" + second, {})  # noqa: S102
    collection, teacher = import_scores("scores.parquet", tmp_path / "out", **texts)
    assert scores_by_text(collection, teacher) == BY_TEXT


def test_unknown_forms_and_full_folders_are_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"x": 1, "y": 2, "z": 3}])
    with pytest.raises(InputError, match="(?s)flagembedding.*got the columns x, y, z"):
        import_scores(path, tmp_path / "out")
    with pytest.raises(InputError, match="tevatron"):
        import_scores(path, tmp_path / "out", form="tevatron")
    with pytest.raises(InputError, match="form"):
        import_scores(path, tmp_path / "out", form="colbert")
    with pytest.raises(InputError, match="holds files"):
        import_scores(path, tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="an empty file"):
        import_scores(tmp_path / "empty.jsonl", tmp_path / "out")
    with pytest.raises(InputError, match="no such file"):
        import_scores(tmp_path / "none.jsonl", tmp_path / "out")


def test_names_with_signs_of_patterns_and_quotes_are_names(tmp_path):
    folder = tmp_path / "it's [1] *"
    folder.mkdir()
    collection, teacher = import_scores(write(folder / "a?[b]'.jsonl", FLAG), folder / "o'ut[*]")
    assert scores_by_text(collection, teacher) == BY_TEXT


def test_ids_with_blanks_come_back(tmp_path):
    records = json.loads(json.dumps(TEVATRON))
    records[0]["query_id"], records[0]["positive_passages"][0]["docid"] = "q\t1", "d 1\n"
    collection, teacher = import_scores(write(tmp_path / "a.jsonl", records), tmp_path / "out")
    assert collection.qrels["train"]["q\t1"] == {"d 1\n": 1}
    assert scores_by_text(collection, teacher)["Who purrs?", "Cats purr."] == 2.5


def test_what_was_imported_trains_a_student_without_other_labels(toy_collection, tmp_path):
    """The teacher's scores are all there is: it judges the development queries, and its lists are the candidates."""
    random = np.random.default_rng(0)
    corpus, queries = toy_collection.corpus, toy_collection.queries
    lists = [random.permutation(len(corpus))[:8] for _ in queries]
    records = [
        {"query_id": query, "document_ids": corpus.take_ids(of), "scores": random.normal(size=8).round(3).tolist()}
        for query, of in zip(queries, lists)
    ]
    texts = {
        name: write(tmp_path / f"{name}.jsonl", [{"id": key, "text": table[key]} for key in table])
        for name, table in (("corpus", corpus), ("queries", queries))
    }
    collection, teacher = import_scores(write(tmp_path / "a.jsonl", records), tmp_path / "toy", **texts)
    assert not collection.qrels and len(collection.unlabelled) == 40
    options = {"num_candidates": None, "num_iterations": 1, "regression_epochs": 0.0, "save_strategy": "no"}
    trainer = toy_trainer(
        tmp_path / "out", tmp_path / "s", collection, teacher=teacher, assistants=[BM25()], **options
    )
    trainer.distillation.learn()
    found = load_candidates(tmp_path / "out" / "iteration-00" / "lists.parquet")
    assert found.lengths.tolist() == [8] * 36 and found.positive.sum() == 36  # four queries are for development


@pytest.mark.parametrize("given", ["corpus", "both"])
def test_a_folder_in_the_layout_of_beir_holds_passages_and_queries(tmp_path, given):
    beir = tmp_path / "beir"
    beir.mkdir()
    (beir / "corpus.jsonl").write_text('{"_id": "p1", "text": "a cat"}\n{"_id": "p2", "text": "a dog"}\n')
    (beir / "queries.jsonl").write_text('{"_id": "q1", "text": "cat"}\n')
    (tmp_path / "a.jsonl").write_text('{"query_id": "q1", "document_ids": ["p1", "p2"], "scores": [2.0, 1.0]}\n')
    texts = {"corpus": beir, **({"queries": beir} if given == "both" else {})}
    collection, teacher = import_scores(tmp_path / "a.jsonl", tmp_path / "out", **texts)
    assert collection.queries["q1"] == "cat" and collection.corpus["p2"] == "a dog" and teacher is not None
