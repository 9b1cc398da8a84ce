from __future__ import annotations

import json
import re
from typing import get_type_hints

import pytest

from st_mta.cli.show import show
from st_mta.hub.lineage import lineage_section
from st_mta.report import schema, summary_table, write_report
from st_mta.report.pages import html_page, markdown_page
from st_mta.report.plots.quality import draw_quality
from st_mta.report.tables import headline
from st_mta.report.wording import (
    count,
    duration,
    imitation_sentence,
    measure_in_words,
    most_selected,
    rate,
    significance_sentence,
    verdict,
    warm_up_sentence,
)
from tests.report.sample_evidence import full_report
from tests.report.sample_report import sample_report


@pytest.mark.parametrize(
    "alphas, expected",
    [
        ([0.5, 0.5], "In the targets the teacher weighed 0.5 (alpha), the selected assistant the rest."),
        ([0.75, 0.5], "In the targets the teacher weighed 0.75 to 0.50 (alpha), the selected assistant the rest."),
        ([1.0, 1.0], "The student imitated the teacher's distributions alone (alpha 1); selection was only noted."),
        ([None, None], ""),
    ],
)
def test_what_the_selected_assistants_were_worth(alphas, expected):
    report = sample_report()
    report["iterations"] = report["iterations"][:2]
    for entry, alpha in zip(report["iterations"], alphas):
        entry.pop("alpha")
        entry.update({} if alpha is None else {"alpha": alpha})
    assert imitation_sentence(report) == expected
    assert expected in markdown_page(report, "out/student")


def test_writes_json_page_and_plots(report, tmp_path):
    write_report(tmp_path / "out", report)
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert files == ["plots/quality.png", "plots/selection.png", "report.html", "report.json", "report.md"]
    text = (tmp_path / "out" / "report.json").read_text()
    assert json.loads(text) == report
    assert list(json.loads(text)) == sorted(report)
    for picture in re.findall(r"!\[.+?\]\((.+?)\)", (tmp_path / "out" / "report.md").read_text()):
        assert (tmp_path / "out" / picture).exists()


def test_the_sample_has_the_shape_of_the_schema(report):
    optional = {
        "serving", "score_distributions", "comparisons", "stopped_early", "kept", "loss", "warm_up_skipped", "recipe"
    }  # fmt: skip
    assert set(report) == set(get_type_hints(schema.Report)) - optional
    report = full_report()
    assert set(report) == set(get_type_hints(schema.Report)) - {"warm_up_skipped", "recipe"}
    comparison, (distribution, *_) = report["comparisons"][0], report["score_distributions"][0]["distributions"]
    assert set(comparison) == set(get_type_hints(schema.Comparison))
    assert set(comparison["largest_wins"][0]) == set(get_type_hints(schema.QueryDifference))
    assert set(distribution) == set(get_type_hints(schema.ScoreDistribution))
    assert set(report["student"]) | {"hub_id", "revision"} == set(get_type_hints(schema.ModelEntry))
    assert set(report["iterations"][1]) == set(get_type_hints(schema.Iteration)) - {"teacher"}
    assert set(report["compute"]) == set(get_type_hints(schema.Compute))
    assert set(report["significance"]) == set(get_type_hints(schema.Significance))


def test_the_page_tells_everything(report):
    text = markdown_page(report, "out/student")
    for expected in (
        "The student reaches 97.1% of its teacher's nDCG@10 (0.431 of 0.444, up from 0.291) "
        "with 67% of its parameters at 493 times its speed.",
        "| cross-encoder/ms-marco-MiniLM-L6-v2, re-ranks minilm | 6 | 22.7M | 0.444 | 0.475 | 0.844 | 2.61 |",
        "| **student** | **student** | **2** | **15.2M** | **0.431** |",
        "5,121 passages; queries: 4,000 train, 300 dev, 400 test",
        "p < 0.001): 219 queries better, 61 worse, 120 equal.",
        'student = SentenceTransformer("out/student")',
        "| **1** | **4,000** | **812** | **15.7** | **1.220 → 0.810** | **bm25+minilm 75%, minilm 22%** |",
        "regression to the embeddings of minilm in 4 min 05 s took the student from 0.303 to 0.417",
        "| Pairs scored | 81,230 | 45,411 | 36% |",
        "- Seed: 42",
        "- 3 empty passages were dropped.",
    ):
        assert expected in text


def test_the_python_on_the_page_compiles(report):
    code = re.search(r"```python\n(.+?)```", markdown_page(report, "out/student"), re.DOTALL)
    assert code is not None
    compile(code[1], "report.md", "exec")


def test_stations_of_all_iterations_are_summed(report):
    report["compute"]["seconds"] = {"warm-up": 100.0, "iteration-00/train": 40.0, "iteration-01/train": 80.0}
    report["compute"]["total_seconds"] = 220.0
    text = markdown_page(report, "student")
    assert text.index("| train | 2 min 00 s | 55% |") < text.index("| warm-up | 1 min 40 s | 45% |")


def test_the_page_tells_what_only_some_reports_have():
    text = markdown_page(full_report(), "out/student")
    assert "| as trained | student | student | 384 | float32 | 1,536 | 0.431 |" in text
    assert "| Filtered |" in text and "| 4.8% |" in text
    assert re.search(r"- Against the teacher: \d+ queries better, \d+ worse, \d+ equal in nDCG@10\.", text)
    for part in ("plots/against-teacher.png", "plots/scores.png", "## Serving"):
        assert part in text and part not in markdown_page(sample_report(), "out/student")


def test_no_iteration_improved(report):
    report["best_iteration"] = -1
    assert "No iteration improved on the warmed-up student" in markdown_page(report, "student")
    report["warm_up"] = None
    assert "No iteration improved on the untrained student" in markdown_page(report, "student")


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("student-before", "No training improved the student on the development queries: it is delivered as it came."),
        (
            "warm-up",
            "No iteration improved on the warmed-up student on the development queries: that is delivered.",
        ),
    ],
)
def test_what_did_not_improve_is_said_first(report, kept, said, capsys):
    report |= {"kept": kept, "best_iteration": -1}
    assert markdown_page(report, "student").splitlines()[0] == f"**{said}**"
    assert verdict(report).startswith(f"{said} The student reaches")
    assert said in html_page(report, "student")
    show(report, "out")
    assert capsys.readouterr().out.startswith(said)
    report |= {"kept": "iteration-01", "best_iteration": 1}
    assert markdown_page(report, "student").startswith("# Distillation on")
    assert verdict(report).startswith("The student reaches")


def test_the_best_iteration_is_bold_on_the_page_and_on_the_card(report):
    for text in (markdown_page(report, "student"), lineage_section(report)):
        rows = [line for line in text.splitlines() if "→" in line]
        assert [line.startswith("| **") for line in rows] == [False, True, False]


def test_a_warm_up_that_was_skipped_has_a_reason(report, capsys):
    report |= {"warm_up": None, "warm_up_skipped": "regression_epochs is 0"}
    reason = "No warm-up: regression_epochs is 0."
    assert warm_up_sentence(report) == reason
    show(report, "out")
    for text in (markdown_page(report, "student"), html_page(report, "student"), lineage_section(report)):
        assert reason in text
    assert reason in " ".join(capsys.readouterr().out.split())


def test_a_teacher_that_was_not_measured_has_no_figures(report):
    report["recovered"] = None
    report["development"].pop("teacher")
    for measure in ("ndcg@10", "mrr@10", "map", "recall@100"):
        report["teacher"].pop(measure)
    assert verdict(report).startswith(
        "The student reaches 0.431 nDCG@10 (up from 0.291; teacher not measured) with 67% of its parameters"
    )
    assert set(summary_table(report)[0].values()) >= {"n/a"}
    text = markdown_page(report, "student")
    assert "Recovered: n/a of the teacher" in text and "0.000" not in text and "0.0%" not in text
    assert headline(report)[0][1:] == ("n/a", "teacher n/a")
    assert "n/a" in html_page(report, "student")
    draw_quality(report)


def test_a_run_that_stopped_early(report):
    assert "stopped early" not in markdown_page(report, "student")
    report["stopped_early"] = {"num_iterations": 6, "in_vain": 1}
    said = "The run stopped early, after 3 of 6 iterations: the last one did not improve on the best student so far."
    assert said in markdown_page(report, "student")
    report["stopped_early"]["in_vain"] = 2
    assert "6 iterations: the last 2 did not improve" in markdown_page(report, "student")


def test_a_run_without_warm_up_losses_or_notes(report):
    report["warm_up"] = None
    report["iterations"][0]["loss"] = None
    report["collection"]["notes"] = []
    report["best_iteration"] = -1
    text = markdown_page(report, "student")
    assert "Warm-up" not in text and "## Notes" not in text and "in bold was best" not in text
    assert "| 0 | 4,000 | 0 | 15.7 | – |" in text


def test_the_summary_goes_from_teacher_to_student(report):
    rows = summary_table(report)
    assert [row["Role"] for row in rows] == ["teacher", "assistant", "assistant", "student before", "student"]
    assert rows[2] == {
        "Role": "assistant",
        "Model": "bm25",
        "Layers": "–",
        "Parameters": "–",
        "nDCG@10": "0.401",
        "MRR@10": "0.432",
        "Recall@100": "0.801",
        "queries/s": "2,900",
    }


def test_the_verdict_claims_only_what_is_true(report):
    report["student"].update({"ndcg@10": 0.28, "parameters": 30_000_000, "queries_per_second": 1.0})
    report["recovered"] = 0.28 / 0.444
    assert verdict(report) == "The student reaches 63.1% of its teacher's nDCG@10 (0.280 of 0.444, down from 0.291)."
    report["student"].update({"ndcg@10": 0.291, "queries_per_second": None})
    assert "unchanged from 0.291" in verdict(report)


@pytest.mark.parametrize("p_value, words", [(0.049, "significant at"), (0.05, "not significant at")])
def test_significance_at_five_per_cent(report, p_value, words):
    report["significance"]["p_value"] = p_value
    sentence = significance_sentence(report["significance"])
    assert f", {words} the 5% level" in sentence
    assert "the student before distillation the difference in nDCG@10 is +0.140 (95% interval +0.112" in sentence


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3599.9, "1 h 00 min"),
        (7805, "2 h 10 min"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_numbers_in_words():
    assert [count(number) for number in (0, 999, 22_713_216, 7.2e9, 4_300)] == ["–", "999", "22.7M", "7.2B", "4.3k"]
    assert [rate(value) for value in (None, 0.123, 12.3, 12345.6)] == ["–", "0.12", "12", "12,346"]
    assert most_selected({"a": 0.1, "b": 0.6, "c": 0.3}) == "b 60%, c 30%"
    assert most_selected({}) == "–"
    assert [measure_in_words(name) for name in ("ndcg@10", "map", "recall@100", "mrr@10")] == [
        "nDCG@10", "MAP", "Recall@100", "MRR@10",
    ]  # fmt: skip
