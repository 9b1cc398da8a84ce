"""Public benchmarks by name: where their data is, which judgements count, and which measure is published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ARCHIVES = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets"
FORUMS = "android english gaming gis mathematica physics programmers stats tex unix webmasters wordpress"


@dataclass(frozen=True)
class Benchmark:
    """How the published figures of a set are measured.

    Attributes:
        name: Its name here, and the name of the folder of a local copy.
        dataset: Id on the Hub, in a form that every release of ``datasets`` reads; "" for a folder of one's own.
        split: The judged split that figures are published for.
        measure: The measure they are published in.
        relevance_level: Lowest grade that counts as relevant for measures without grades.
        hub_split: What the Hub calls the split, where that is another name.
        family: Sets of one family count as one in a mean; by default each is its own.
        archive: File on BEIR's server that holds the set, where it is there.
    """

    name: str
    dataset: str = ""
    split: str = "test"
    measure: str = "ndcg@10"
    relevance_level: int = 1
    hub_split: str = ""
    family: str = ""
    archive: str = ""

    @property
    def splits(self) -> dict[str, str]:
        """The Hub's names of splits that are called otherwise here."""
        return {self.hub_split: self.split} if self.hub_split else {}

    @property
    def folders(self) -> tuple[str, ...]:
        """Where a local copy may lie: under the set's name, or as BEIR's archive of a whole family unpacks."""
        part = self.name.removeprefix(f"{self.family}-")
        return (self.name, f"{self.family}/{part}") if self.family else (self.name,)


def _beir(name: str, dataset: str = "", split: str = "test", measure: str = "ndcg@10") -> Benchmark:
    return Benchmark(name, f"mteb/{dataset or name}", split, measure, archive=f"{name}.zip")


def _forum(name: str) -> Benchmark:
    name = f"cqadupstack-{name}"
    return Benchmark(name, f"mteb/{name}", family="cqadupstack", archive="cqadupstack.zip")


def _nano(name: str, dataset: str) -> Benchmark:
    return Benchmark(f"nano-{name}", f"zeta-alpha-ai/Nano{dataset}", hub_split="train")


def _deep_learning_track(year: int) -> Benchmark:
    # The track's measures without grades count 2 and 3 as relevant, 0 and 1 as not (Craswell et al., Overview of the
    # TREC 2019 Deep Learning Track, 2020).
    return Benchmark(f"trec-dl-{year}", f"whybe-choi/trec-dl-{year}", relevance_level=2)


_ALL = (
    # The public sets of the benchmark BEIR, in the order of its table.
    _beir("msmarco", split="dev", measure="mrr@10"),
    *map(_beir, ("trec-covid", "nfcorpus", "nq", "hotpotqa", "fiqa", "arguana")),
    _beir("webis-touche2020", "touche2020"),
    *map(_forum, FORUMS.split()),
    _beir("quora"),
    _beir("dbpedia-entity", "dbpedia"),
    *map(_beir, ("scidocs", "fever", "climate-fever", "scifact")),
    # 50 queries and up to 10,000 passages of 13 of them.
    _nano("arguana", "ArguAna"),
    _nano("climate-fever", "ClimateFEVER"),
    _nano("dbpedia", "DBPedia"),
    _nano("fever", "FEVER"),
    _nano("fiqa", "FiQA2018"),
    _nano("hotpotqa", "HotpotQA"),
    _nano("msmarco", "MSMARCO"),
    _nano("nfcorpus", "NFCorpus"),
    _nano("nq", "NQ"),
    _nano("quora", "QuoraRetrieval"),
    _nano("scidocs", "SCIDOCS"),
    _nano("scifact", "SciFact"),
    _nano("touche2020", "Touche2020"),
    _deep_learning_track(2019),
    _deep_learning_track(2020),
)

BENCHMARKS = {benchmark.name: benchmark for benchmark in _ALL}
"""Name -> benchmark."""

GROUPS = {
    "beir": tuple(benchmark.name for benchmark in _ALL if benchmark.archive),
    "cqadupstack": tuple(benchmark.name for benchmark in _ALL if benchmark.family == "cqadupstack"),
    "nano-beir": tuple(benchmark.name for benchmark in _ALL if benchmark.name.startswith("nano-")),
    "trec-dl": ("trec-dl-2019", "trec-dl-2020"),
}
"""Name of several benchmarks -> their names; the twelve forums of cqadupstack count as one set in a mean."""


def expand(names: str | Iterable[str]) -> list[str]:
    """The names with groups replaced by their members, each once; names of no group stay as they are."""
    names = [names] if isinstance(names, str) else names
    return list(dict.fromkeys(member for name in names for member in GROUPS.get(name, (name,))))


def benchmark(name: str) -> Benchmark:
    """How to measure a benchmark, or a collection of one's own as if it were one (its test split, nDCG@10)."""
    return BENCHMARKS.get(name) or Benchmark(name)


def of_dataset(dataset_id: str) -> Benchmark | None:
    """The benchmark whose data is in this dataset of the Hub."""
    return next((known for known in _ALL if known.dataset == dataset_id), None)


def where_to_get(known: Benchmark) -> str:
    """What to download for a local copy, and where to put it."""
    download = f"hf download {known.dataset} --repo-type dataset --local-dir DATA/{known.name}"
    if known.archive:
        download += f"; or unpack {ARCHIVES}/{known.archive} in DATA, as DATA/{known.folders[-1]}/corpus.jsonl"
    return (
        f"where there is a network: {download}. DATA is the folder that $ST_MTA_DATA or the argument data (--data) "
        f"names. Any copy in the layout of BEIR will do: corpus.jsonl, queries.jsonl and qrels/{known.split}.tsv "
        f"in DATA/{known.name}"
    )
