from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from st_mta.report.markdown import in_code, in_markdown, values_in_markdown
from st_mta.report.pages import html_page, markdown_page
from tests.report.sample_report import sample_report

HOSTILE = [
    "<script>alert(1)</script>", "[x](javascript:alert(1))", "![x](http://evil)", "`code`", "**bold**", "# heading",
    "- item", "> quote", "a\\[x](y)", "&lt;b&gt;", "$x_{$", "~~struck~~", "a | b", "a\n\n# b",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_as_it_is(name):
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(in_markdown(name))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in tokens[1].children} <= {"text", "text_special"}
    assert "".join(child.content for child in tokens[1].children) == name.replace("\n", " ")


def test_control_characters_are_spelled_out():
    assert in_markdown("a\x1b[31m\u202e") == r"a\\x1b\[31m\\u202e"
    assert in_code("a`b\x1b") == r"a'b\x1b"


def test_plain_names_and_numbers_stay():
    values = {"bm25+minilm": ["cross-encoder/ms-marco-MiniLM-L6-v2", 0.5, None, "4.57.1", "student_before"]}
    assert values_in_markdown(values) == values


def test_a_report_with_hostile_names_has_both_pages():
    report = sample_report()
    report["collection"]["name"] = report["teacher"]["name"] = "<script>x</script> \x1b[31m $x_{$"
    page, html = markdown_page(report, "out/student"), html_page(report, "out/student")
    assert "<script>" not in page and "\x1b" not in page and "&lt;script>" in page
    assert "<script>x" not in html and "<svg" in html
