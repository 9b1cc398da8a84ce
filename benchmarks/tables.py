"""Writes the README's shown output and results table from the files in benchmarks/.

python -m benchmarks.tables [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from st_mta.report import markdown_table

HERE = Path(__file__).parent
README = HERE.parent / "README.md"


def main() -> None:
    """Writes, or with ``--check`` compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="Exit with 1 if the README would change.")
    before = README.read_text(encoding="utf-8")
    after = filled(before)
    if parser.parse_args().check:
        sys.exit(before != after)
    README.write_text(after, encoding="utf-8")


def filled(readme: str) -> str:
    """The README with both generated parts."""
    output = (HERE / "quickstart" / "output.txt").read_text(encoding="utf-8").strip("\n")
    readme = between(readme, "quickstart-output", f"```text\n{output}\n```")
    return between(readme, "results", results())


def between(text: str, name: str, content: str) -> str:
    """The text with the part between the two markers of a name replaced."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, _, rest = text.partition(start)
    tail = rest.partition(end)[2] if end in rest else rest
    return f"{head}{start}\n\n{content}\n\n{end}{tail}"


def results() -> str:
    """One row per finished run: student before and after against the teacher."""
    rows = []
    for path in sorted(HERE.glob("first_runs/*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        report = run["report"]
        rows.append(
            {
                "Collection": report["collection"]["name"],
                "Teacher": f"{report['teacher']['name']} {report['teacher']['ndcg@10']:.3f}",
                "Student before": f"{report['student_before']['ndcg@10']:.3f}",
                "Student": f"{report['student']['ndcg@10']:.3f}",
                "Recovered": f"{report['recovered']:.1%}",
                "p (before, after)": f"{report['significance']['p_value']:.4f}",
                "Minutes": f"{report['compute']['total_seconds'] / 60:.0f}",
            }
        )
    return (
        "nDCG@10 on the test split, one seed, two CPU cores; each row's command and full report stand in "
        "[benchmarks/first_runs](benchmarks/first_runs).\n\n" + markdown_table(rows)
    ).strip()


if __name__ == "__main__":
    main()
