"""The card of a dataset of scores."""

from __future__ import annotations

import re
from collections.abc import Sequence

from huggingface_hub import DatasetCard, DatasetCardData

from st_mta.report.markdown import in_markdown
from st_mta.report.tables import markdown_table
from st_mta.stores.store import StoredScorer

TEXT = """\
---
{metadata}
---

# {title}

Raw scores of query-passage pairs, computed once and kept by st_mta, to distil from or to compare with. Each scorer is
one configuration.

{table}
## Columns

| Column | Type | Meaning |
| --- | --- | --- |
| query | uint64 | key of the query's text |
| passage | uint64 | key of the passage's text (title and text joined as the collection joins them) |
| score | float32 | the scorer's raw score or logit, unbounded, higher is better |

A key is the low half of the MD5 digest of the text in UTF-8. **There are no texts here:** with the collection at hand
the scores of its pairs are found, but a text cannot be read from its key. The keys do not hide a text that can be
guessed, though, since the key of a guess can be computed. If a pair stands in two rows, the smaller score holds.

## Read it back

```python
from st_mta import load_scorer

scorer = load_scorer("{spec}")  # a teacher or an assistant, in Python or on the command line
```

or without st_mta:

```python
from datasets import load_dataset

scores = load_dataset("{repo_id}", "{config}", split="train")
```
"""


def score_card(repo_id: str, scorers: Sequence[StoredScorer], licence: str | None) -> str:
    """The README.md: metadata with one configuration per scorer, the columns, and how to read it back."""
    named = [(_config_name(scorer), scorer) for scorer in scorers]
    data = DatasetCardData(
        license=licence,
        tags=["st-mta", "knowledge-distillation", "information-retrieval"],
        configs=[
            {"config_name": config, "data_files": f"scores/{scorer.fingerprint}/*.parquet"} for config, scorer in named
        ],
    )
    rows = [
        {
            "Configuration": config,
            "Scorer": in_markdown(scorer.name),
            "Kind": in_markdown(scorer.kind),
            "Fingerprint": f"`{scorer.fingerprint}`",
            "Pairs": f"{scorer.pairs:,}",
        }
        for config, scorer in named
    ]
    spec = f"stored:{repo_id}" + ("" if len(scorers) == 1 else f"#{scorers[0].fingerprint[:8]}")
    text = TEXT.format(
        metadata=data.to_yaml(),
        title=repo_id.split("/")[-1],
        table=markdown_table(rows),
        spec=spec,
        repo_id=repo_id,
        config=named[0][0],
    )
    return str(DatasetCard(text))


def _config_name(scorer: StoredScorer) -> str:
    """The scorer's name as far as the Hub allows it, and its fingerprint."""
    return "-".join(filter(None, [re.sub(r"[^\w.-]+", "-", scorer.name).strip("-"), scorer.fingerprint[:8]]))
