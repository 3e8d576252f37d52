"""A figure as a part of the page, where it follows dark and light.

The colours of the file become variables of the style sheet. Names of its parts get the name of the
figure in front, since a page may hold several figures.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"font: ([\d.]+)px [^;]*")

THEMED = {
    "#1f5a99": "var(--c1)",
    "#b5530f": "var(--c2)",
    "#2f7d4f": "var(--c3)",
    "#7a3b8f": "var(--c4)",
    "#555555": "var(--c5)",
    "#8a6d00": "var(--c6)",
    "#000000": "currentColor",
    "#222222": "currentColor",
    "#333333": "currentColor",
    "#262626": "currentColor",
    "#999999": "var(--muted)",
    "#cccccc": "var(--rule)",
    "#b0b0b0": "var(--rule)",
    "#ffffff": "var(--card)",
}
"""Variables of the style sheet by the colours of our figures."""


def inline(svg: bytes, name: str, label_id: str) -> str:
    """The figure as an element of HTML.

    Parameters
    ----------
    svg
        The file, made by us.
    name
        Put before the names of its parts.
    label_id
        Id of the element that describes it.
    """
    ET.register_namespace("", _SVG)
    root = ET.fromstring(svg)  # noqa: S314  (our own file, whose texts matplotlib has escaped)
    for child in list(root):
        if child.tag == f"{{{_SVG}}}metadata":
            root.remove(child)
    for element in root.iter():
        _rewrite(element, name)
    for style in root.findall(f"{{{_SVG}}}defs/{{{_SVG}}}style"):
        style.text = ""  # a rule for all elements would hold for the whole page
    width = root.attrib.pop("width", "")
    root.attrib.pop("height", None)
    root.set("style", f"width:{width}")
    root.set("role", "img")
    root.set("aria-labelledby", label_id)
    return ET.tostring(root, encoding="unicode")


def _rewrite(element: ET.Element, name: str) -> None:
    """Give an element its names and colours on the page."""
    attributes = element.attrib
    if "id" in attributes:
        attributes["id"] = f"{name}-{attributes['id']}"
    if _LINK in attributes:
        attributes["href"] = f"#{name}-{attributes.pop(_LINK).removeprefix('#')}"
    for key in ("clip-path", "fill", "stroke"):
        if key in attributes:
            attributes[key] = _REFERENCE.sub(rf"url(#{name}-\1)", attributes[key])
    if "style" in attributes:
        style = _COLOUR.sub(lambda found: THEMED.get(found[0], found[0]), attributes["style"])
        style = _FONT.sub(r"font-size: \1px", style)
        attributes["style"] = _REFERENCE.sub(rf"url(#{name}-\1)", style)
