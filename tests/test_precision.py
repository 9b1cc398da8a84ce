from __future__ import annotations

import pytest
import torch

from st_mta import precision
from st_mta.errors import InputError
from st_mta.precision import precision_name, resolve_precision


@pytest.fixture(autouse=True)
def _forget_the_cpu():
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


def test_a_stated_precision_holds_everywhere():
    assert resolve_precision("bf16", "cpu") == torch.bfloat16
    assert resolve_precision("fp32", "cuda") == torch.float32


def test_an_unknown_word_is_refused():
    with pytest.raises(InputError, match="fp16"):
        resolve_precision("fp16", "cpu")


def test_names():
    assert precision_name(torch.bfloat16) == "bf16"
    assert precision_name(torch.float64) == "float64"
