"""The headings under which ``--help`` lists the options of the method."""

from __future__ import annotations

FLOW, CANDIDATES, WARM_UP = "Iterations", "Queries and candidates", "Warm-up and regression"
TARGETS, LOSS, STEPS, MACHINE = "Teacher and assistants", "Loss", "Training", "Machine and evaluation"
