"""``python -m st_mta`` is ``st-mta``."""

from __future__ import annotations

import os
import sys

# Python puts the working folder first for -m, and with it whatever modules lie there; ``st-mta`` does not have it.
if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
    del sys.path[0]

from st_mta.cli.main import main  # noqa: E402

sys.exit(main())
