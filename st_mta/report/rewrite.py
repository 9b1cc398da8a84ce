"""`rewrite_report`: the pages of a finished run once more, the function behind ``st-mta report``."""

from __future__ import annotations

import json
from pathlib import Path

from st_mta.errors import InputError
from st_mta.evaluation import evaluate_run
from st_mta.report import write_report
from st_mta.report.evidence import collection_of, comparisons_of, distributions_of, run_file
from st_mta.report.schema import Comparison, Report
from st_mta.run.folder import RunFolder
from st_mta.trec import read_run
from st_mta.types import Collection

TOLERANCE = 1e-6
NOT_THE_SAME = (
    "Queries are not compared one by one, since run files and judgements as they are now do not give the measures "
    "of the report."
)


def rewrite_report(
    output_dir: str | Path, *, html_path: str | Path | None = None, collection: str | Path | Collection | None = None
) -> Path:
    """Writes ``report.html``, ``report.md`` and the plots of a finished run anew.

    What an older version left out of ``report.json`` is worked out from the run's files and added to it.

    Args:
        output_dir: The output folder of a finished run.
        html_path: Where to write the page; by default ``report.html`` in the folder.
        collection: Where the texts are; by default what the run was made on.

    Returns:
        The page.

    Raises:
        InputError: If the folder holds no finished run, or the collection is not the one of the run.
    """
    folder = RunFolder(Path(output_dir))
    report = _finished(folder)
    page = Path(html_path) if html_path is not None else folder.root / "report.html"
    if page.is_dir():
        raise InputError(
            expected="a file to write the page to",
            got=f"the folder {page}",
            remedy=f"name a file, for example {page / 'report.html'}",
        )
    texts, remark = collection_of(folder, report, collection)
    if "score_distributions" not in report and (scorers := _scorers(folder, report)):
        report["score_distributions"] = distributions_of(folder, scorers)
    if "comparisons" not in report and texts is not None:
        if compared := _comparisons(folder, report, texts):
            report["comparisons"] = compared
        else:
            remark = NOT_THE_SAME
    write_report(folder.root, report, collection=texts, remark=remark, html_path=page)
    return page


def _finished(folder: RunFolder) -> Report:
    try:
        report: Report = json.loads(folder.report.read_text(encoding="utf-8"))
        report["student"], report["iterations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        begun = f"{folder.root}, where a run was begun but not finished"
        raise InputError(
            expected=f"the output folder of a finished run, with its {folder.report.name}",
            got=begun if folder.journal.exists() else f"{folder.root} ({type(error).__name__}: {error})",
            remedy="name the --output-dir of a distillation; one that was stopped resumes with the same command",
        ) from error
    return report


def _scorers(folder: RunFolder, report: Report) -> list[list[str]]:
    """The scorers of every iteration as the journal names them; none where scores are no longer there."""
    iterations = [folder.iteration(entry["iteration"]) for entry in report["iterations"]]
    files = [path / name for path in iterations for name in ("scores.npy", "lists.parquet")]
    if not all(path.exists() for path in [folder.journal, *files]):
        return []
    stations = json.loads(folder.journal.read_text(encoding="utf-8"))["stations"]
    return [stations[f"{path.name}/score"]["result"]["scorers"] for path in iterations]


def _comparisons(folder: RunFolder, report: Report, collection: Collection) -> list[Comparison]:
    """Query by query, where run files and judgements give the measures of the report; else none."""
    qrels, student = collection.qrels.get(report["split"], {}), report["student"]
    if not qrels or not run_file(folder, student["name"]).exists():
        return []
    again = evaluate_run(read_run(run_file(folder, student["name"])), qrels, ["ndcg@10"])["ndcg@10"]
    return comparisons_of(folder, report, qrels) if abs(again - student["ndcg@10"]) <= TOLERANCE else []
