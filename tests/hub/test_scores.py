"""Publishing stored scores and reading them back."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from st_mta.cli.main import main
from st_mta.hub.scores import push_scores, score_files
from st_mta.scorers import BM25, CrossEncoderScorer, load_scorer
from st_mta.stores import Store
from tests.hub.conftest import TOKEN, run_python
from tests.hub.test_push import content, refused
from tests.tiny import tiny_cross_encoder

QUERIES, PASSAGES = np.repeat(np.arange(10), 6), np.tile(np.arange(6), 10)


@pytest.fixture
def store(tmp_path, toy_collection):
    """A store with the pairs of two scorers, in several parts."""
    store = Store(tmp_path / "store")
    scorers = [
        CrossEncoderScorer(tiny_cross_encoder(), name="/home/somebody/teachers/ce", store=store, precision="fp32"),
        BM25(store=store),
    ]
    for scorer in scorers:
        for part in (slice(0, 20), slice(20, 60)):
            score_pairs(scorer, toy_collection, part)
    return store


def score_pairs(scorer, collection, part=slice(None)):
    return scorer.score(collection.queries, collection.corpus, QUERIES[part], PASSAGES[part])


def written(files, folder):
    for file in files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes(content(file))
    return folder


def test_a_push_uploads_exactly_what_is_listed(store, hub, capsys):
    arguments = ["push-scores", "--repo", "me/scores", "--store", str(store.folder), "--license", "cc-by-4.0"]
    assert main([*arguments, "--dry-run"]) == 0
    listed = capsys.readouterr().out
    assert hub.requests == []
    assert main([*arguments, "--private"]) == 0
    captured = capsys.readouterr()
    published = hub.files("me/scores", "datasets")
    assert published == {f.path: content(f) for f in score_files(store, "me/scores", licence="cc-by-4.0")}
    assert all(path in listed for path in published) and f"{len(published)} files" in listed
    assert len([path for path in published if path.endswith(".parquet")]) == 4
    assert hub.created[0]["type"] == "dataset" and hub.created[0]["visibility"] == "private"
    assert TOKEN not in captured.out + captured.err
    assert not [path for path, data in published.items() if b"/home/" in data]


def test_the_card(store):
    card = DatasetCard(content(score_files(store, "me/scores", licence="cc-by-4.0")[0]).decode())
    assert card.data.license == "cc-by-4.0" and len(card.data.configs) == 2
    for scorer in store.contents():
        assert scorer.fingerprint in card.text
        assert f"scores/{scorer.fingerprint}/*.parquet" in {config["data_files"] for config in card.data.configs}
    for expected in ("| ce | cross-encoder |", "| bm25 | bm25 |", "| 60 |", "no texts", "uint64", "stored:me/scores"):
        assert expected in card.text
    assert DatasetCard(content(score_files(store, "me/scores")[0]).decode()).data.license is None


def test_each_configuration_holds_one_scorers_pairs(store, tmp_path):
    folder = written(score_files(store, "me/scores"), tmp_path / "copy")
    for config in DatasetCard.load(folder / "README.md").data.configs:
        rows = load_dataset(str(folder), config["config_name"], split="train", cache_dir=str(tmp_path / "hf"))
        assert rows.column_names == ["query", "passage", "score"] and len(rows) == 60


@pytest.mark.parametrize("name", ["ce", "/home/somebody/teachers/ce"])
def test_one_scorer_alone(store, name):
    paths = [file.path for file in score_files(store, "me/scores", [name])]
    chosen = [scorer.fingerprint for scorer in store.contents() if scorer.kind == "cross-encoder"]
    assert {path.split("/")[1] for path in paths if "/" in path} == set(chosen)
    assert [file.path for file in score_files(store, "me/scores", [chosen[0][:8]])] == paths


def test_read_back_from_a_copy_the_scores_are_equal(store, tmp_path, toy_collection):
    folder = written(score_files(store, "me/scores"), tmp_path / "copy")
    for name, scorer in (("bm25", BM25(store=store)), ("ce", None)):
        stored = load_scorer(f"stored:{folder}#{name}")
        expected = score_pairs(scorer or ce(store), toy_collection)
        np.testing.assert_array_equal(score_pairs(stored, toy_collection), expected)
        assert (stored.name, stored.kind) == (name, "stored")
    unknown = stored.score(toy_collection.queries, toy_collection.corpus, np.array([20]), np.array([50]))
    assert np.isnan(unknown).all()


def ce(store):
    return CrossEncoderScorer(tiny_cross_encoder(), store=store, precision="fp32")


def test_nothing_to_publish(store, tmp_path, capsys):
    arguments = ["push-scores", "--repo", "me/scores", "--dry-run", "--store"]
    assert "there are none" in refused(capsys, *arguments, tmp_path / "empty")
    assert "bm52" in refused(capsys, *arguments, store.folder, "--scorer", "bm52")


def test_a_refused_token_and_a_lost_connection(store, hub, capsys):
    arguments = ["push-scores", "--repo", "me/scores", "--store", store.folder]
    hub.refuse = 403
    assert "may write to me/scores" in refused(capsys, *arguments)
    hub.refuse, hub.drop_commits = None, 1
    assert "nothing was" in refused(capsys, *arguments)
    push_scores(store, "me/scores")
    assert len(hub.files("me/scores", "datasets")) == 7


READ = """
import json, sys
import numpy as np
from st_mta import load_scorer
from st_mta.types import Texts
given = json.load(open(sys.argv[1]))
stored = load_scorer("stored:me/scores#bm25")
texts = [Texts(list(map(str, range(len(given[name])))), given[name]) for name in ("queries", "corpus")]
print("SCORES", stored.score(*texts, np.array(given["pairs"][0]), np.array(given["pairs"][1])).tolist())
"""


def test_read_back_from_the_hub_the_scores_are_equal(store, hub, tmp_path, toy_collection):
    push_scores(store, "me/scores")
    given = {
        "queries": toy_collection.queries.take(np.arange(10)),
        "corpus": toy_collection.corpus.take(np.arange(6)),
        "pairs": [QUERIES.tolist(), PASSAGES.tolist()],
    }
    (tmp_path / "given.json").write_text(json.dumps(given))
    done = run_python(hub, tmp_path, "-c", READ, tmp_path / "given.json")
    assert done.returncode == 0, done.stderr
    scores = json.loads(re.search("SCORES (.*)", done.stdout)[1])
    np.testing.assert_array_equal(scores, score_pairs(BM25(store=store), toy_collection))
    # Only the parts of the scorer that was asked for are downloaded.
    downloaded = [request for request in hub.requests if request.startswith("GET") and request.endswith(".parquet")]
    chosen = next(scorer.fingerprint for scorer in store.contents() if scorer.kind == "bm25")
    assert downloaded and all(chosen in request for request in downloaded)
