"""``report.html``: the whole report as one page that asks for nothing outside itself."""

from __future__ import annotations

from st_mta.report.html.page import html_page

__all__ = ["html_page"]
