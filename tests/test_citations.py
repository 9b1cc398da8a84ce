"""Every citation can be printed: who wrote what, and when."""

from __future__ import annotations

import re

import pytest

from st_mta import citations

AUTHORS = {
    "MTA4DPR": 3,
    "MD2PR": 3,
    "EMBED_DISTILL": 9,
    "JASPER": 4,
    "SPREAD_OUT": 4,
    "VKD": 3,
    "MOSE": 4,
    "LEAD": 9,
    "TED": 6,
    "CERBERUS": 4,
}
ALL = {name: text for name, text in vars(citations).items() if name.isupper()}


@pytest.mark.parametrize("name", ALL)
def test_a_citation_has_authors_a_title_and_a_year(name):
    text = ALL[name]
    assert text.startswith("\n@") and text.endswith("}\n") and text.count("{") == text.count("}")
    text = re.sub(r"\n {8}", " ", text)  # long lists of authors go on
    fields = dict(re.findall(r'^ +(\w+) = ["{]*(.+?)["}]*,?$', text, re.MULTILINE))
    assert len(fields["author"].split(" and ")) == AUTHORS[name] and len(fields["title"]) > 20
    assert re.fullmatch(r"20\d\d", fields["year"])


def test_every_citation_is_looked_at():
    assert ALL.keys() == AUTHORS.keys()
