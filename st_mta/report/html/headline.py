"""The few numbers at the top of the page."""

from __future__ import annotations

from typing import NamedTuple

from st_mta.report.schema import Report
from st_mta.report.wording import count, measure, rate, recovered


class Headline(NamedTuple):
    """One number with its name and what it is compared with."""

    label: str
    value: str
    remark: str


def headline(report: Report) -> list[Headline]:
    """Quality, size and speed of the student; what a system does not have is left out."""
    teacher, before, student = report["teacher"], report["student_before"], report["student"]
    numbers = [
        Headline("of the teacher’s nDCG@10", recovered(report), f"teacher {measure(teacher.get('ndcg@10'))}"),
        Headline("nDCG@10 of the student", measure(student["ndcg@10"]), f"before {measure(before['ndcg@10'])}"),
    ]
    if student["parameters"]:
        remark = f"teacher {count(teacher['parameters'])}" if teacher["parameters"] else ""
        numbers.append(Headline("parameters", count(student["parameters"]), remark))
    if student["queries_per_second"] is not None:
        remark = "" if teacher["queries_per_second"] is None else f"teacher {rate(teacher['queries_per_second'])}"
        numbers.append(Headline("queries per second", rate(student["queries_per_second"]), remark))
    return numbers
