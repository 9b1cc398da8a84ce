"""Teachers' scores as others publish them: read into one table of pairs, and written as a collection."""

from __future__ import annotations

from st_mta.collections.score_files.forms import FORMS, Form
from st_mta.collections.score_files.tables import Tables

__all__ = ["FORMS", "Form", "Tables"]
