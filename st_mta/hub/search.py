"""The last look at every byte before it is uploaded: a secret or a folder of this machine in it stops the push."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from st_mta.errors import InputError
from st_mta.hub.public import HOME_FOLDERS, homes_here
from st_mta.hub.secrets import LOGIN, TOKEN, secrets_here

TOKEN_BYTES = re.compile(TOKEN.pattern.encode())
FORMS = ((LOGIN, "the login of an address"), (HOME_FOLDERS, "a folder below somebody's home"))
"""What is looked for in texts only: weights and vocabularies hold anything by chance."""
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt")
SHORTEST_FOLDER = 8
"""Characters of a folder that is looked for everywhere; a vocabulary may well hold "/root"."""


@dataclass(frozen=True)
class PublishedFile:
    """One file to upload.

    Attributes:
        path: Path in the repository.
        content: The file here, or the bytes themselves where they differ from the file here.
    """

    path: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def refuse_private(files: Iterable[PublishedFile], secrets: Iterable[str] = ()) -> None:
    """Searches names and contents of files for secrets and folders of this machine.

    Args:
        files: What would be uploaded.
        secrets: Further secrets, such as the token of the upload.

    Raises:
        InputError: If there is one, with the file and what was found, but not the secret itself.
    """
    literal = {secret: "the token of this upload" for secret in secrets} | secrets_here()
    literal |= {folder: f"the folder {folder}" for folder in homes_here() if len(folder) >= SHORTEST_FOLDER}
    wanted = {text.encode(): what for text, what in literal.items()}
    for file in files:
        for what in _found(file, wanted):
            raise InputError(
                expected="files without secrets and without folders of this machine",
                got=f"{file.path} with {what}",
                consequence="it would be published (nothing was sent)",
                remedy="remove it from the file in the run's folder or the store, and push again",
            )


def _found(file: PublishedFile, wanted: dict[bytes, str]) -> Iterator[str]:
    with _opened(file) as content:
        for place in (file.path.encode(), content):
            yield from (what for text, what in wanted.items() if place.find(text) >= 0)
            if found := TOKEN_BYTES.search(place):
                yield f"a token ({found[0][:6].decode()}...)"
        text = _text(file.path, content)
    yield from (what for form, what in FORMS if form.search(text))


@contextmanager
def _opened(file: PublishedFile) -> Iterator[Any]:
    """Its bytes, or a map of them: weights need not fit into memory."""
    if isinstance(file.content, bytes) or not file.size:
        yield file.content if isinstance(file.content, bytes) else b""
        return
    with open(file.content, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def _text(path: str, content: Any) -> str:
    """What people wrote: the whole of a text, of weights in safetensors their metadata; of all else nothing."""
    name = path.rpartition("/")[2]
    if name.endswith(".safetensors"):
        length = int.from_bytes(content[:8], "little")
        try:
            return json.dumps(json.loads(content[8 : 8 + length]).get("__metadata__"), ensure_ascii=False)
        except (ValueError, AttributeError):
            return ""
    if name in VOCABULARIES or name.endswith(".py"):
        return ""
    try:
        return bytes(content).decode()
    except UnicodeDecodeError:
        return ""
