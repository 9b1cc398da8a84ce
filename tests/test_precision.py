from __future__ import annotations

import os

import pytest
import torch

from st_mta import precision
from st_mta.errors import InputError
from st_mta.precision import precision_name, resolve_precision

AS_SET = os.environ.get(precision.VARIABLE)


@pytest.fixture(autouse=True)
def _only_what_a_test_says(monkeypatch):
    monkeypatch.delenv(precision.VARIABLE, raising=False)
    precision.cpu_multiplies_bf16_fast.cache_clear()
    yield
    precision.cpu_multiplies_bf16_fast.cache_clear()


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False, "avx512_f": True}, torch.float32),
        ({"architecture": "aarch64"}, torch.float32),
    ],
)
def test_auto_on_a_cpu_follows_its_instructions(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_precision("auto", "cpu") == expected


@pytest.mark.parametrize("flag", ["amx_bf16", "avx512_bf16", "avx512_vnni"])
def test_older_torch_reads_the_flags_linux_lists(monkeypatch, tmp_path, flag):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags\t\t: fpu sse2 {flag}\n")
    monkeypatch.setattr(precision, "CPUINFO", cpuinfo)
    assert (resolve_precision("auto", "cpu") == torch.bfloat16) == flag.endswith("bf16")


def test_without_any_list_of_flags_auto_is_fp32(monkeypatch, tmp_path):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "missing")
    assert resolve_precision("auto", "cpu") == torch.float32


def test_this_torch_still_names_the_capabilities_as_expected():
    if not hasattr(torch.cpu, "get_capabilities"):
        pytest.skip("torch before 2.13 has no torch.cpu.get_capabilities")
    if torch.cpu.get_capabilities().get("architecture") != "x86_64":
        pytest.skip("only x86 CPUs have these instructions")
    assert {"amx_bf16", "avx512_bf16"} <= set(torch.cpu.get_capabilities())


@pytest.mark.parametrize("supported", [True, False])
def test_auto_on_a_gpu_asks_for_real_support(monkeypatch, supported):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: supported)
    assert resolve_precision("auto", "cuda") == (torch.bfloat16 if supported else torch.float32)


def test_other_devices_compute_in_fp32():
    assert resolve_precision("auto", "meta") == torch.float32


@pytest.mark.parametrize(
    ("word", "other", "expected"), [("fp32", True, torch.float32), ("bf16", False, torch.bfloat16)]
)
@pytest.mark.parametrize("device", ["cpu", "cuda", "meta"])
def test_the_environment_decides_what_auto_means(monkeypatch, word, other, expected, device):
    monkeypatch.setattr(precision, "_multiplies_bf16_fast", lambda device: other)
    monkeypatch.setenv("ST_MTA_PRECISION", word)
    assert resolve_precision("auto", device) == expected
    assert resolve_precision("bf16" if word == "fp32" else "fp32", device) != expected


@pytest.mark.parametrize("word", ["", "auto", "fp16", "FP32"])
def test_the_environment_with_another_word_is_refused(monkeypatch, word):
    monkeypatch.setenv("ST_MTA_PRECISION", word)
    with pytest.raises(InputError, match=f"ST_MTA_PRECISION.*got {word!r}"):
        resolve_precision("auto", "cpu")
    assert resolve_precision("fp32", "cpu") == torch.float32


def test_the_tests_never_read_the_machine():
    """Nor do the processes they start, which inherit what conftest sets."""
    assert AS_SET in precision.PRECISIONS


def test_a_stated_precision_holds_everywhere():
    assert resolve_precision("bf16", "cpu") == torch.bfloat16
    assert resolve_precision("fp32", "cuda") == torch.float32


def test_an_unknown_word_is_refused():
    with pytest.raises(InputError, match="fp16"):
        resolve_precision("fp16", "cpu")


def test_names():
    assert precision_name(torch.bfloat16) == "bf16"
    assert precision_name(torch.float64) == "float64"
