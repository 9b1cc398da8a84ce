"""A run with secrets in its arguments, private folders and hostile texts, published to a server on this machine."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults.drills import Drill
from benchmarks.faults.material import Material
from benchmarks.faults.processes import run, run_afresh
from tests.hub.hostile_run import PRIVATE, SECRETS, command
from tests.hub.local_hub import LocalHub

KINDS = ("secrets", "folders", "control characters", "markup", "links and strangers", "foreign scorers")
FOREIGN = (
    "[]", "null", "5", '"x"', "{", '{"name": 5}', '{"name": null, "kind": "x"}', '{"name": "[/x]", "kind": "a"}',
    '{"name": "\\u001b[31m", "kind": "a"}', '{"name": "../../x", "kind": "a"}',
)  # fmt: skip


def drills(_: int) -> Iterator[Drill]:
    """One push looked at in five ways, and stores that describe their scorers strangely."""
    for kind in KINDS[:-1]:
        yield Drill("hostile push", kind, partial(_pushed, kind=kind), alone=True)
    for described in FOREIGN:
        yield Drill("hostile push", f"scorer.json {described}", partial(_foreign, described=described))


def _pushed(_: Material, folder: Path, kind: str) -> str:
    home = folder / "USER NAME"
    (home / "work").mkdir(parents=True)
    environment = {"HOME": str(home), "HF_TOKEN": SECRETS["HF_TOKEN"], "WANDB_API_KEY": SECRETS["WANDB_API_KEY"]}
    if wrong := run(command(home), home / "work", environment).wrong(0):
        return f"the run: {wrong}"
    out = home / "work" / "rel" / "out"
    (folder / "stranger.json").write_text('"STRANGER"')
    (out / "student" / "linked.json").symlink_to(folder / "stranger.json")
    (out / "student" / "thesis.tex").write_text("STRANGER")
    (out / "runs" / ".hidden.trec").write_text("STRANGER")
    (out / "plots" / ".quality.png-1.tmp").write_text("STRANGER")
    hub = LocalHub()
    try:
        at = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(folder)}
        done = run_afresh(["push", "rel/out", "--repo", "me/small"], home / "work", environment | at)
        published = hub.repositories.get("models/me/small", {})
    finally:
        hub.close()
    return (
        done.wrong(0) or ("" if len(published) > 10 else "too little was published") or _found(published, kind, folder)
    )


def _found(published: dict[str, bytes], kind: str, folder: Path) -> str:
    """What should not have been published."""
    wanted = {
        "secrets": [re.escape(text) for text in SECRETS.values()],
        "folders": [re.escape(text) for text in (*PRIVATE, str(folder))],
        "control characters": ["[\x00-\x08\x0b-\x1f\x7f]", "\u202e"],
        "markup": [r"<script>", r"<img src=x", r"<b onmouseover", r"(?<!\\)\]\(javascript:"],
        "links and strangers": ["STRANGER"],
    }[kind]
    texts = {path: data for path, data in published.items() if not path.endswith((".png", ".safetensors"))}
    # Run files hold ids, the options and the report hold names as they are: data, which no browser shows as a page.
    pages = {path: data for path, data in texts.items() if path.endswith((".md", ".html"))}
    looked_at = pages if kind == "markup" else texts if kind == "control characters" else published
    for path, data in looked_at.items():
        text = data.partition(b"\n---\n")[2] if kind == "markup" and path == "README.md" else data
        text = re.sub(rb"`[^`\n]*`", b"", text) if path.endswith(".md") else text
        for pattern in wanted[:-1] if kind == "markup" and path.endswith(".html") else wanted:
            if re.search(pattern.encode(), text):
                return f"{path} holds {pattern!r}"
    return ""


def _foreign(material: Material, folder: Path, described: str) -> str:
    """A store from elsewhere is listed, and used under whatever name, or refused with one message."""
    store = Path(shutil.copytree(material.store, folder / "store"))
    paths = [
        path for path in (store / "scorers").glob("*/scorer.json") if (store / "scores" / path.parent.name).exists()
    ]
    for path in paths:
        path.write_text(described)
    if wrong := run(["cache", "--store", str(store)], folder / "here").wrong(0):
        return f"cache: {wrong}"
    pairs = next((material.whole / "runs").glob("bm25.trec"))
    command_of = [
        "score", "--collection", str(material.collection), "--scorer", f"stored:{store}#{paths[0].parent.name[:12]}",
        "--pairs", str(pairs), "--output", str(folder / "here" / "x.trec"),
    ]  # fmt: skip
    done = run(command_of, folder / "here")
    outside = [path for path in folder.parent.glob("x*") if path.name.startswith("x")]
    named = json.dumps(str(outside[0])) if outside else ""
    return done.wrong(0, 2) or ("an escape was printed" if "\x1b[31m" in done.printed else "") or named
