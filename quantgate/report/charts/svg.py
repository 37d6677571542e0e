"""matplotlib's SVG made fit to stand in a page with a strict content security policy.

Style attributes, which such a policy forbids, become presentation attributes; colours become
classes beside them; ids begin with the chart's own; numbers are written to a hundredth of a unit;
and nothing that names the outside world is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from xml.etree import ElementTree as ET

from quantgate.report.escape import plain

_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_GEOMETRY: Final = frozenset({"d", "x", "y", "width", "height", "transform", "points", "viewBox"})
_DROPPED: Final = frozenset({"metadata", "style"})
_NUMBER: Final = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_FONT_SIZE: Final = re.compile(r"([\d.]+)px")
_BAD_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def label(text: str, longest: int = 34) -> str:
    """Return text from outside as one harmless line of at most `longest` characters."""
    text = _BAD_XML.sub("", plain(text[: 16 * longest]))
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def tidy(drawn: str, *, ident: str, title: str, description: str, names: Mapping[str, str]) -> str:
    """Return what matplotlib drew as an inline `<svg>` element.

    Args:
        drawn: matplotlib's document.
        ident: what all ids begin with.
        title: the element's accessible name.
        description: its accessible description.
        names: classes by colour: `#0072b2` filled with `series-1` has the class `f-series-1`, a
            stroke `s-series-1`.
    """
    # matplotlib writes what it is given; a control character in a unit would end the page.
    root = ET.fromstring(_BAD_XML.sub("", drawn))  # noqa: S314  matplotlib's, not from outside
    _drop(root)
    ids = _new_ids(root, ident)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = dict(_attributes(element, ids))
        element.attrib.clear()
        element.attrib.update(attributes)
        _add_classes(element, names)
        element.tail = None
        if element.tag not in {"text", "tspan"}:
            element.text = None
    _introduce(root, ident, title, description)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _drop(parent: ET.Element) -> None:
    for child in list(parent):
        if child.tag.rpartition("}")[2] in _DROPPED:
            parent.remove(child)
        else:
            _drop(child)
            if child.tag.rpartition("}")[2] == "defs" and not len(child):
                parent.remove(child)


def _new_ids(root: ET.Element, ident: str) -> dict[str, str]:
    """Ids that something refers to, numbered in the document's order; the others go."""
    told = ET.tostring(root, encoding="unicode")
    used = set(re.findall(r'href="#([^"]+)"', told)) | set(re.findall(r"url\(#([^)]+)\)", told))
    found = [e.attrib["id"] for e in root.iter() if e.attrib.get("id") in used]
    return {old: f"{ident}-{number}" for number, old in enumerate(found)}


def _attributes(element: ET.Element, ids: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        if name == "id":
            if value in ids:
                yield name, ids[value]
        elif name == _HREF:
            yield "href", f"#{ids[value[1:]]}"
        elif name == "clip-path":
            yield name, f"url(#{ids[value[5:-1]]})"
        elif name == "style":
            yield from _presentation(value)
        elif name in _GEOMETRY:
            yield name, _NUMBER.sub(_shorten, value)


def _presentation(style: str) -> Iterator[tuple[str, str]]:
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":  # a shorthand, which attributes don't have
            size = _FONT_SIZE.search(value)
            if size:
                yield "font-size", size[1]
            if "bold" in value or re.search(r"\b[6-9]00\b", value):
                yield "font-weight", "bold"
        elif name == "font-size":
            yield name, value.removesuffix("px")
        elif name and not name.startswith("font-"):
            yield name, _NUMBER.sub(_shorten, value)


def _shorten(number: re.Match[str]) -> str:
    rounded = round(float(number[0]), 2) or 0.0  # never -0
    return f"{rounded:.2f}".rstrip("0").rstrip(".")


def _add_classes(element: ET.Element, names: Mapping[str, str]) -> None:
    classes = [
        f"{letter}-{names[element.attrib[paint].lower()]}"
        for letter, paint in (("f", "fill"), ("s", "stroke"))
        if element.attrib.get(paint, "").lower() in names
    ]
    if classes:
        element.attrib["class"] = " ".join(classes)


def _introduce(root: ET.Element, ident: str, title: str, description: str) -> None:
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update(
        {
            "class": "chart",
            "viewBox": box,
            "role": "img",
            "aria-labelledby": f"{ident}-title {ident}-desc",
            "stroke-linejoin": "round",
            "stroke-linecap": "butt",
        }
    )
    for place, (tag, suffix, text) in enumerate(
        (("title", "title", title), ("desc", "desc", description))
    ):
        element = ET.Element(tag, {"id": f"{ident}-{suffix}"})
        element.text = label(text, longest=2000)
        root.insert(place, element)
