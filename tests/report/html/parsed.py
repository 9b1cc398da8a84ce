"""A page as a reader sees it: tables, texts, the texts inside its figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Example:
    """One win or loss."""

    difference: str = ""
    query: str = ""
    values: str = ""
    passages: list[dict[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """Tables are lists of {column: cell}; ``figures`` hold the texts of each SVG; ``prose`` is everything else."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.figures, self.examples, self.links, self.ids, self.tags = [], [], [], [], [], []
        self.text = self.prose = ""
        self._open, self._cells, self._header = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href", "action")]
        self.ids += [given["id"]] if "id" in given else []
        if tag not in ("meta", "link", "br"):
            self._open.append((tag, given.get("class", "")))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self._cells = []
        elif tag in ("td", "th"):
            self._cells.append("")
        elif tag == "svg":
            self.figures.append([])
        elif tag == "details" and "more" not in given.get("class", ""):
            self.examples.append(Example())
        elif given.get("class") == "passage":
            self.examples[-1].passages.append({"parts": "", "text": "", "id": ""})

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag in ("meta", "link", "br"):
            return
        assert self._open.pop()[0] == tag, f"</{tag}> closes nothing"
        if tag == "tr":
            if self._open[-1][0] == "thead":
                self._header = self._cells
            else:
                self.tables[-1].append(dict(zip(self._header, self._cells, strict=True)))

    def handle_data(self, data):
        tags, classes = [tag for tag, _ in self._open], [name for _, name in self._open]
        if not tags or tags[-1] == "style":
            return
        if "svg" in tags:
            if tags[-1] == "text":
                self.figures[-1].append(data.strip())
            return
        if "head" not in tags:
            self.text += data
            self.prose += "" if {"table", "details"} & set(tags) else data
        if tags[-1] in ("td", "th"):
            self._cells[-1] += data.strip()
        for name in ("difference", "query", "values"):
            if classes[-1] == name:
                setattr(self.examples[-1], name, data)
        if "passage" in classes:
            part = "id" if tags[-1] == "code" else "parts" if "parts" in classes else "text"
            self.examples[-1].passages[-1][part] += data
