"""A run that holds all that must not be published: secrets in its arguments, private folders, hostile names."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tests.tiny import WORDS, saved, tiny_cross_encoder, tiny_sentence_transformer

SECRETS = {
    "hub_token": "hf_" + "argumentTOKEN" * 2,
    "HF_TOKEN": "hf_" + "environmentTOKEN" * 2,
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "optim_args": "s3cretOfTheOptimiser",
    "password": "pa55wordInAnAddress",
    "project": "hf_" + "projectTOKEN" * 2,
}
"""Where they stand -> what must not leave."""
PRIVATE = (
    "USER NAME",
    "USER_NAME",
    "USER-NAME",
    "USER%20NAME",
    "some project",
    "some_project",
    "up/teacher",
    "rel/out",
)
"""Parts of paths, as they are and as file names, tags and addresses would spell them."""
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"
HOSTILE = (
    f'{MARKUP} [x](javascript:alert(3)) =HYPERLINK("http://evil") "\'`$x_{{$ [/red] \x1b[31m \u202e ../../etc/passwd'
)
COLLECTION_NAME = "=1+1 [link=http:evil]x[|b] \x1b[31m $x_{$ \"q\" 'r' --- # k: [v, <b onmouseover=alert(4)>"


def write_collection(folder: Path) -> Path:
    """A folder in the layout of BEIR whose ids, titles and texts are hostile; 8 queries and 24 passages."""
    (folder / "qrels").mkdir(parents=True)
    source = torch.Generator().manual_seed(0)
    words = [[WORDS[26 + int(i)] for i in torch.randint(0, 60, (8,), generator=source)] for _ in range(24)]
    passages = [
        {"_id": passage_id(n), "title": "<i>", "text": f"{' '.join(row)}\n---\n{HOSTILE}"}
        for n, row in enumerate(words)
    ]
    queries = [
        {"_id": query_id(n), "text": f"{' '.join(row[:3])} {MARKUP}\n---\n- a: b"} for n, row in enumerate(words)
    ]
    for name, rows in (("corpus", passages), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for split, numbers in (("train", range(12)), ("dev", range(12, 18)), ("test", range(18, 24))):
        judged = "".join(f"{query_id(n)}\t{passage_id(n)}\t1\n" for n in numbers)
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", encoding="utf-8")
    return folder


def query_id(number: int) -> str:
    return f"q{number}<script>alert('q')</script>"


def passage_id(number: int) -> str:
    return f"../../p{number}=cmd|'/c'!A1"


def command(home: Path) -> list[str]:
    """`st-mta distill` on models and data of that home folder; the working folder is `home/work`."""
    project = home / "some project"
    teacher = saved(tiny_cross_encoder(1), home / "up" / "teacher")
    student = saved(tiny_sentence_transformer(2), project / "my student")
    saved(tiny_sentence_transformer(3), project / "my assistant")
    collection = write_collection(project / COLLECTION_NAME)
    training = {
        "hub_token": SECRETS["hub_token"],
        "optim_args": f"api_key={SECRETS['optim_args']},url=https://user:{SECRETS['password']}@example.com/x",
        "run_name": f"run of {SECRETS['project']} in {project}/logs",
        "save_steps": 2,
        "logging_steps": 1,
    }
    assert Path(teacher).exists()
    return [
        "distill", "--collection", str(collection), "--teacher", "../up/teacher", "--student", student,
        "--assistants", f"late-interaction:{project}/my assistant", "bm25",
        "--output-dir", "rel/out", "--store", str(project / "my store"), "--num-iterations", "1",
        "--num-candidates", "4", "--batch-size", "6", "--max-length", "32", "--device", "cpu", "--precision", "fp32",
        "--training", json.dumps(training),
    ]  # fmt: skip
