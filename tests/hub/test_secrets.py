from __future__ import annotations

from st_mta.hub.secrets import without_secrets


def test_secrets_are_left_out_and_lookalikes_stay():
    options = {"hub_token": "a", "nested": [{"WANDB_API_KEY": "b", "seed": 3}], "include_tokens_per_second": True}
    assert without_secrets(options) == {"nested": [{"seed": 3}], "include_tokens_per_second": True}
    assert without_secrets('{"token": "a", "seed": 3}') == '{"seed": 3}'
    assert without_secrets("bm25") == "bm25" and without_secrets("3") == "3"
