"""What a balancing method is and what it costs, in a line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A method of the literature at a glance.

    Parameters
    ----------
    paper : str
        Authors and year, title, where.
    formula : str
        What it does, in the paper's letters.
    backward : str
        Backward passes of a step: "1", or what comes on top of it.
    memory : str
        Memory on top of a plain step's; B rows, T tasks, P shared parameters.
    """

    paper: str
    formula: str
    backward: str = "1"
    memory: str = "none"
