"""What a published student says about itself, and how it and stored scores are published."""

from __future__ import annotations

from st_mta.hub.model_card import LineageModelCardData, attach_lineage
from st_mta.hub.scores import push_scores
from st_mta.hub.upload import push_run

__all__ = ["LineageModelCardData", "attach_lineage", "push_run", "push_scores"]
