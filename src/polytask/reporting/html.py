"""The report as one self-contained HTML file: no network, no scripts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polytask.files import write_atomic
from polytask.reporting.document import document
from polytask.reporting.markup import element
from polytask.reporting.sections.gains import gains
from polytask.reporting.sections.headline import headline
from polytask.reporting.sections.learning import learning
from polytask.reporting.sections.methods import methods
from polytask.reporting.sections.reading import reading
from polytask.reporting.sections.run import run
from polytask.reporting.sections.why import why
from polytask.reporting.sections.zeros import zeros

#: Sections in their order: anchor, word in the table of contents, function.
SECTIONS = (
    ("gains", "Gain per task", gains),
    ("methods", "Methods", methods),
    ("why", "Why", why),
    ("zeros", "Features used", zeros),
    ("curves", "Learning curves", learning),
    ("reading", "How to read it", reading),
    ("run", "What was run", run),
)


def render_html(report: Mapping[str, Any]) -> str:
    """The report of a comparison.

    Parameters
    ----------
    report : dict
        As `Comparison.to_dict` gives it, or as read back from its JSON; parts that are missing are left out.

    Returns
    -------
    str
        An HTML document that needs nothing else.
    """
    made = [(anchor, word, make(report)) for anchor, word, make in SECTIONS]
    shown = [(anchor, word, section) for anchor, word, section in made if section is not None]
    links = [element("a", word, href=f"#{anchor}") for anchor, word, _ in shown]
    overall = (report.get("overall") or {}).get("verdict") or "no verdict"
    return document(
        f"polytask: {overall}",
        headline(report),
        element("main", element("nav", *links, aria_label="Sections"), *(section for _, _, section in shown)),
        element("footer", f"Made with polytask {report.get('polytask') or ''}"),
    )


def write_html(report: Mapping[str, Any], path: str | Path) -> Path:
    """Write the report under a temporary name, then rename: a file of this name is always a whole one.

    Parameters
    ----------
    report : dict
        As for `render_html`.
    path : path
    """
    write_atomic(path, render_html(report))
    return Path(path)
