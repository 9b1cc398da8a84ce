from __future__ import annotations

import pytest

from st_mta.hub.secrets import blanked, secrets_here, secrets_of, without_secrets


def test_secrets_are_left_out_and_lookalikes_stay():
    options = {"hub_token": "a", "nested": [{"WANDB_API_KEY": "b", "seed": 3}], "include_tokens_per_second": True}
    assert without_secrets(options) == {"nested": [{"seed": 3}], "include_tokens_per_second": True}
    assert without_secrets('{"token": "a", "seed": 3}') == '{"seed": 3}'
    assert without_secrets("bm25") == "bm25" and without_secrets("3") == "3"


def test_options_within_texts():
    text = "api_key=abc123,lr=1, secretKey: x ,monkey=3,max_length=4,url=https://user:pa55word@host/x"
    expected = "api_key=(token),lr=1, secretKey: (token) ,monkey=3,max_length=4,url=https://host/x"
    assert without_secrets({"optim_args": text}) == {"optim_args": expected}
    assert secrets_of({"optim_args": text.replace("abc123", "abc12345")}) == {"abc12345", "pa55word"}


def test_secrets_of_nested_options():
    options = {"hub_token": "hf_short99", "a": [{"password": "12345678", "seed": 3}], "b": '{"token": "json-token"}'}
    assert secrets_of(options) == {"hf_short99", "12345678", "json-token"}
    assert secrets_of({"token": None, "key": "short"}) == set()


@pytest.mark.parametrize("token", ["hf_" + "a1B2" * 5, "sk-proj-" + "a1B2" * 6, "github_pat_" + "a1B2" * 6])
def test_tokens_are_known_by_their_form(token):
    assert blanked(f"with {token}.") == "with (token)."


def test_secrets_of_the_environment(monkeypatch):
    monkeypatch.setattr("st_mta.hub.secrets.get_token", lambda: "logged-in")
    environment = {
        "A_TOKEN": "0123456789abcdef",
        "SSH_KEY": "/home/me/.ssh/id",
        "B_KEY": "production",
        "PATH": "/usr/bin",
    }
    assert secrets_here(environment) == {
        "0123456789abcdef": "the value of A_TOKEN", "logged-in": "the token this machine is logged in with",
    }  # fmt: skip
