from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from st_mta.report.plots import style as plot_style
from st_mta.report.plots.quality import draw_quality, spread
from st_mta.report.plots.scores import draw_scores
from st_mta.report.plots.selection import OTHERS, draw_selection, most_used
from st_mta.report.plots.svg import inline_svg
from tests.report.sample_evidence import full_report
from tests.report.sample_report import iteration


def texts(figure):
    """The visible texts of a figure."""
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    labels = [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels(), axes.title, axes._left_title]
    labels += [text for legend in figure.legends for text in legend.get_texts()]
    return [label.get_text() for label in labels if label.get_text()]


def test_quality_names_every_system_with_its_value(report):
    drawn = texts(draw_quality(report))
    for label in ("0.451  teacher", "0.437  minilm", "0.398  bm25", "0.303  student, before", "0.439  student, final"):
        assert label in drawn
    for step in ("before", "warm-up", "iteration 0", "iteration 1", "iteration 2"):
        assert step in drawn
    assert {"0.417", "0.426", "0.435"} <= set(drawn)  # the points that no label at the edge stands for


def test_quality_of_many_iterations_and_of_the_least(report):
    report["iterations"] = [iteration(number, 0.4 + 0.001 * number, {"bm25": 1.0}) for number in range(12)]
    drawn = texts(draw_quality(report))
    assert "11" in drawn and "iteration 11" not in drawn
    report.update(warm_up=None, development={}, iterations=report["iterations"][:1], best_iteration=-1)
    drawn = texts(draw_quality(report))
    assert "0.400  student, final" in drawn


def test_the_ring_is_around_the_student_that_was_kept(report):
    drawn = texts(draw_quality(report))
    assert "0.439  student, final" in drawn
    report["best_iteration"] = -1  # although iteration 1 is higher here, the warmed-up student was kept
    drawn = texts(draw_quality(report))
    assert "0.417  student, final" in drawn
    report["warm_up"] = None
    drawn = texts(draw_quality(report))
    assert "0.303  student, final" in drawn


def test_selection_names_wide_segments_inside_and_narrow_ones_below(report):
    drawn = texts(draw_selection(report))
    for label in ("bm25+minilm  65%", "minilm  22%", "student-1  55%", "bm25+student-1  45%", "iteration 2"):
        assert label in drawn
    assert drawn.count("bm25") == 1  # 4% has no room for its name: it goes to the legend
    assert "minilm" not in drawn


def test_selection_without_any_selection(report):
    report["iterations"] = [iteration(0, 0.4, {})]
    drawn = texts(draw_selection(report))
    assert "iteration 0" in drawn


def test_selection_of_more_assistants_than_colours():
    shares = [{f"a{number}": number / 66 for number in range(12)}]
    names = most_used(shares)
    assert names == [*(f"a{number}" for number in range(11, 4, -1)), OTHERS]
    assert len(names) == len(plot_style.PALETTE)
    assert "a0" not in most_used([{"a0": 0.0, "a1": 1.0}])


def test_others_share_what_is_left(report):
    report["iterations"] = [iteration(0, 0.4, {f"a{number}": number / 66 for number in range(12)})]
    drawn = texts(draw_selection(report))
    assert "others  15%" in drawn  # a0 to a4: 10 of 66


def test_segments_lie_end_to_end(report):
    axes = draw_selection(report).axes[0]
    assert axes.get_ylim() == (2.5, -0.5)  # the first iteration is on top
    for row in range(3):
        bars = [bar for bar in axes.patches if round(bar.get_y() + bar.get_height() / 2) == row]
        spans = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars if bar.get_width())
        assert [start for start, _ in spans] == pytest.approx([0, *(end for _, end in spans[:-1])])
        assert spans[-1][1] == pytest.approx(1)


def with_course(report):
    """Ten steps per stretch; iteration 0 goes from bm25 to the fusion, iteration 1 has one assistant."""
    report["iterations"][0]["selected_over_steps"] = {
        "steps": [10, 20, 25],
        "shares": {"bm25": [0.75, 0.25, 0.0], "bm25+minilm": [0.25, 0.75, 1.0]},
    }
    for entry in report["iterations"][1:2]:
        entry["selected_over_steps"] = {"steps": [10, 20], "shares": {"minilm": [1.0, 1.0]}}
    return report


def areas(figure):
    """Colour -> the size of everything drawn in it below the bars, in steps."""
    found = {}
    for polygon in figure.axes[1].collections:
        x, y = polygon.get_paths()[0].vertices.T
        colour = tuple(polygon.get_facecolor()[0])
        found[colour] = found.get(colour, 0) + abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return {colour: size for colour, size in found.items() if size > 1e-9}


def test_selection_over_steps_lies_below_the_bars(report):
    plain = draw_selection(report)
    assert len(plain.axes) == 1
    figure = draw_selection(with_course(report))
    bars, course = figure.axes
    assert figure.get_figheight() > plain.get_figheight()
    assert course.get_position().y1 < bars.get_position().y0
    assert course.get_xlim() == (0, 45)
    assert [text.get_text() for text in course.texts] == ["iteration 0", "iteration 1"]


def test_areas_have_the_colours_of_the_bars_and_their_shares(report):
    figure = draw_selection(with_course(report))
    colours = {bars.get_label(): bars[0].get_facecolor() for bars in figure.axes[0].containers}
    # A share belongs to the steps before its end, so bm25 has 75% of the first ten, 25% of the next, and no more.
    expected = {"bm25": 7.5 + 2.5, "bm25+minilm": 2.5 + 7.5 + 5, "minilm": 20}
    assert areas(figure) == pytest.approx({colours[name]: size for name, size in expected.items()})


def test_one_stretch_alone_is_no_course(report):
    report["iterations"][0]["selected_over_steps"] = {"steps": [10], "shares": {"bm25": [1.0]}}
    report["iterations"][1]["selected_over_steps"] = None
    assert len(draw_selection(report).axes) == 1


def test_names_lose_their_folders():
    assert plot_style.shortened("BAAI/bge-small+/models/e5/+bm25") == "bge-small+e5+bm25"
    assert plot_style.shortened("x" * 30, 10) == "x" * 9 + "…"


def test_names_with_dollars_are_no_formulas(report, tmp_path):
    name = "c$x_{$"
    report["collection"]["name"] = name
    report["development"][name] = 0.4
    report["iterations"] = [iteration(0, 0.4, {name: 0.9, "b$": 0.02, "bm25": 0.08})]
    full = full_report()["score_distributions"]
    full[0]["distributions"][0]["scorer"] = name
    for number, figure in enumerate((draw_quality(report), draw_selection(with_course(report)), draw_scores(full))):
        inline_svg(figure, f"figure{number}", "label")
        plot_style.save(figure, tmp_path / f"{number}.png")
    drawn = inline_svg(draw_quality(report), "quality", "label")
    assert f"development queries of {name}<" in drawn


def test_files_are_sharp_and_whole(report, tmp_path):
    plot_style.save(draw_quality(report), tmp_path / "quality.png")
    plot_style.save(draw_selection(report), tmp_path / "selection.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quality.png", "selection.png"]
    for name in ("quality.png", "selection.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width == 1680
            assert np.asarray(image.convert("L")).std() > 10  # something is drawn


def test_pyplot_is_left_alone(report, tmp_path):
    settings = dict(pyplot.rcParams)
    plot_style.save(draw_quality(report), tmp_path / "quality.png")
    assert pyplot.get_fignums() == []
    assert dict(pyplot.rcParams) == settings


@pytest.mark.parametrize(
    "wanted, expected",
    [
        ([0.1, 0.5, 0.9], [0.1, 0.5, 0.9]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.5, 0.5, 0.52], [0.5 + 0.02 / 3 - 0.1, 0.5 + 0.02 / 3, 0.5 + 0.02 / 3 + 0.1]),
        ([], []),
    ],
)
def test_labels_move_apart_as_little_as_possible(wanted, expected):
    assert spread(np.array(wanted), gap=0.1) == pytest.approx(np.array(expected))


def test_labels_never_overlap():
    wanted = np.sort(np.random.default_rng(0).random(12))
    assert (np.diff(spread(wanted, gap=0.06)) >= 0.06 - 1e-9).all()


@pytest.mark.parametrize("name", ["_private", "__", "a$x_{$b", "$", "others", "x" * 300])
def test_any_name_of_an_assistant_is_drawn_and_in_the_legend(report, name):
    for entry in report["iterations"]:
        entry["selected"] = {"minilm": 0.97, name: 0.03}
    drawn = texts(draw_selection(report))
    assert any(text.strip() == plot_style.shortened(name, 40) for text in drawn)


def test_the_teachers_line_is_the_teachers_whatever_its_name(report):
    report["teacher"]["name"] = "big-one"
    report["development"] = {"big-one": 0.451, "teacher": 0.2, "student_before": 0.1}
    drawn = texts(draw_quality(report))
    assert "0.451  teacher" in drawn and "0.200  teacher" in drawn
