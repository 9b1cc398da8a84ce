"""Every citation can be printed: who wrote what, and when."""

from __future__ import annotations

import re

import pytest

from st_mta import citations

ALL = {name: text for name, text in vars(citations).items() if name.isupper()}


@pytest.mark.parametrize("name", ALL)
def test_a_citation_has_authors_a_title_and_a_year(name):
    text = ALL[name]
    assert text.startswith("\n@") and text.endswith("}\n") and text.count("{") == text.count("}")
    fields = dict(re.findall(r'^ +(\w+) = ["{]*(.+?)["}]*,?$', text, re.MULTILINE))
    assert len(fields["author"].split(" and ")) == 3 and len(fields["title"]) > 20
    assert re.fullmatch(r"20\d\d", fields["year"])


def test_there_are_two_methods():
    assert set(ALL) == {"MTA4DPR", "MD2PR"}
