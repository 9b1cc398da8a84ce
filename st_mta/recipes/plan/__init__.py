"""What a distillation will read, compute and write, and how long it will take here: ``st-mta distill --plan``."""

from __future__ import annotations

from st_mta.recipes.plan.make import plan as plan
from st_mta.recipes.plan.work import Plan as Plan
from st_mta.recipes.plan.work import Work as Work
