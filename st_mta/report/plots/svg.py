"""A figure as SVG that lives inside a page: its colours and letters are the page's, its text is text."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from st_mta.report.plots import style

NAMES = {
    style.INK: "ink", style.SOFT: "soft", style.FAINT: "faint", style.BLUE: "blue", style.ORANGE: "orange",
    style.GREEN: "green", style.RED: "red", style.SKY: "sky", style.PURPLE: "purple",
}  # fmt: skip
"""Colour of the plots -> custom property of the style sheet, which has a light and a dark value for it."""
IN_PAGE = {colour.lower(): f"var(--{name})" for colour, name in NAMES.items()}
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def inline_svg(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an ``<svg>`` element.

    Args:
        figure: A figure in the colours of `st_mta.report.plots.style`.
        name: Unique on the page; it begins all ids inside.
        label: What a reader who cannot see it is told.
    """
    file = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # Text as text; the same figure gives the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "st_mta"}):
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(file.getvalue())
    for parent in [*root.iter()]:
        for child in [*parent]:
            if child.tag == f"{{{SVG}}}style":  # it would hold for the whole page
                parent.remove(child)
    for element in root.iter():
        element.attrib.update({key: _in_page(key, value, name) for key, value in element.attrib.items()})
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": label})
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _in_page(key: str, value: str, name: str) -> str:
    """An attribute with its ids made the figure's own and its colours and letters left to the page."""
    if key == "id":
        return f"{name}-{value}"
    if key in (f"{{{XLINK}}}href", "clip-path"):
        return value.replace("#", f"#{name}-", 1)
    if key != "style":
        return value
    # White lines part neighbouring areas, as the page between them would; white text stands on colours.
    value = value.replace("stroke: #ffffff", "stroke: var(--page)").replace("fill: #ffffff", "fill: var(--on-colour)")
    value = re.sub(r"font-family: [^;]+;? ?", "", value)
    return re.sub(r"#[0-9a-f]{6}\b", lambda colour: IN_PAGE.get(colour[0], colour[0]), value)
