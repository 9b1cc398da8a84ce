"""``python -m st_mta`` is ``st-mta``."""

from __future__ import annotations

import sys

from st_mta.cli.main import main

sys.exit(main())
