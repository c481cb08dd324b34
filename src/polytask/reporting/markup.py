"""Building HTML and SVG so that no text can get in without being escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from polytask.reporting.formats import clean

_VOID = frozenset({"meta", "br", "hr", "col"})
_BEFORE_PERCENT = re.compile(r"(?<=\d) (?=%)")
_SVG_LEAVES = frozenset({"line", "path", "polygon", "polyline", "stop"})


class Html(str):
    """Markup that is escaped already; any other string given to `element` is text and gets escaped."""

    __slots__ = ()


def escape(value: Any) -> Html:
    """Markup unchanged, anything else as escaped text, with no line break between a number and its %."""
    if isinstance(value, Html):
        return value
    return Html(_BEFORE_PERCENT.sub("\N{NO-BREAK SPACE}", html.escape(clean(value), quote=True)))


def join(parts: Iterable[Any]) -> Html:
    """The parts one after another."""
    return Html("".join(escape(part) for part in parts))


def element(tag: str, *children: Any, **attributes: Any) -> Html:
    """One element.

    Parameters
    ----------
    tag : str
    *children : Html or text
    **attributes
        ``class_`` becomes class and ``stroke_width`` stroke-width; None and False leave an attribute out,
        True gives it no value, floats are rounded to what a screen can show.
    """
    opening = "".join([tag, *(_attribute(name, value) for name, value in attributes.items())])
    if tag in _VOID:
        return Html(f"<{opening}>")
    if tag in _SVG_LEAVES and not children:
        return Html(f"<{opening}/>")
    return Html(f"<{opening}>{join(children)}</{tag}>")


def _attribute(name: str, value: Any) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return f' {name}="{escape(value)}"'
