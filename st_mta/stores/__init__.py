"""What is computed once: embeddings, scores and the fingerprints they are kept under."""

from __future__ import annotations

from st_mta.stores.fingerprints import fingerprint_model, fingerprint_values
from st_mta.stores.keys import text_keys
from st_mta.stores.ledger import Ledger
from st_mta.stores.store import Store, StoredScorer

__all__ = ["Ledger", "Store", "StoredScorer", "fingerprint_model", "fingerprint_values", "text_keys"]
