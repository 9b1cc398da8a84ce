"""What a published student says about itself."""

from __future__ import annotations

from st_mta.hub.model_card import LineageModelCardData, attach_lineage

__all__ = ["LineageModelCardData", "attach_lineage"]
