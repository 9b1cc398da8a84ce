"""What a finished run shows: the report as JSON, Markdown and one HTML page, tables and plots."""

from __future__ import annotations

from st_mta.report.schema import Report
from st_mta.report.tables import console_table, markdown_table, summary_table
from st_mta.report.write import write_report

__all__ = ["Report", "console_table", "markdown_table", "summary_table", "write_report"]
