"""What an architecture is, in a line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """An architecture of the literature at a glance.

    Parameters
    ----------
    paper : str
        Authors and year, title, where.
    formula : str
        What it computes, in the paper's letters.
    shared : str
        What tasks share.
    """

    paper: str
    formula: str
    shared: str
