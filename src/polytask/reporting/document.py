"""What every page has around its content: a head that loads nothing, and a body."""

from __future__ import annotations

from typing import Any

from polytask.reporting.markup import Html, element
from polytask.reporting.style import STYLE

#: Nothing is loaded from anywhere, whatever a task may be called.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, *body: Any, style: str = "") -> str:
    """A whole HTML document that needs nothing else.

    Parameters
    ----------
    title : str
    *body : Html
    style : str
        Rules of this page beyond those of all pages.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(STYLE + style)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', *body), lang='en')}\n"
