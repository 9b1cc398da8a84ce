from __future__ import annotations

import pytest

from st_mta.collections.benchmarks import BENCHMARKS, GROUPS, benchmark, expand, of_dataset, where_to_get


def test_the_public_sets_of_beir_are_fifteen_with_the_forums_as_one() -> None:
    families = {BENCHMARKS[name].family or name for name in GROUPS["beir"]}
    assert len(GROUPS["beir"]) == 26 and len(families) == 15 and len(GROUPS["cqadupstack"]) == 12
    assert {"msmarco", "cqadupstack", "webis-touche2020", "dbpedia-entity"} <= families
    assert len(GROUPS["nano-beir"]) == 13


def test_groups_are_expanded_once_and_other_names_stay() -> None:
    assert expand(["scifact", "trec-dl", "trec-dl-2019", "my/folder"]) == [
        "scifact", "trec-dl-2019", "trec-dl-2020", "my/folder",
    ]  # fmt: skip
    assert expand("scifact") == ["scifact"]
    assert not set(GROUPS) & set(BENCHMARKS)
    assert set().union(*GROUPS.values()) == set(BENCHMARKS)


def test_the_splits_and_measures_of_published_figures() -> None:
    assert (BENCHMARKS["msmarco"].split, BENCHMARKS["msmarco"].measure) == ("dev", "mrr@10")
    assert {name for name, known in BENCHMARKS.items() if known.split != "test"} == {"msmarco"}
    assert {name for name, known in BENCHMARKS.items() if known.relevance_level == 2} == set(GROUPS["trec-dl"])
    assert BENCHMARKS["nano-nq"].splits == {"train": "test"} and BENCHMARKS["nq"].splits == {}
    assert (benchmark("mine").split, benchmark("mine").measure) == ("test", "ndcg@10")


def test_a_dataset_is_of_one_benchmark() -> None:
    assert [of_dataset(known.dataset) for known in BENCHMARKS.values()] == list(BENCHMARKS.values())
    assert of_dataset("me/pets") is None


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_says_where_to_get_it(name: str) -> None:
    known = BENCHMARKS[name]
    assert f"hf download {known.dataset} " in where_to_get(known)
    assert f"qrels/{known.split}.tsv" in where_to_get(known)
    assert (".zip" in where_to_get(known)) == (name in GROUPS["beir"])
