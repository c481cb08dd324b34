"""Warnings of the models' own solvers: kept with a unit of work, told once for each candidate."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polytask.experiment.units import Unit

#: What these say is for whoever maintains the code, not for whoever reads the result.
_OF_NO_USE_HERE = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)

#: Messages that hold numbers differ from fit to fit; this many of a unit are enough.
KEPT = 3


@contextlib.contextmanager
def recorded() -> Iterator[list[str]]:
    """Collects the distinct messages of warnings raised in the block instead of printing them."""
    messages: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield messages  # filters of warnings are global: threads that change them would undo each other
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield messages
        finally:
            told = (
                " ".join(str(w.message).split())
                for w in caught
                if not issubclass(w.category, _OF_NO_USE_HERE)
            )
            messages += list(dict.fromkeys(told))[:KEPT]


def warning_notes(units: Iterable[Unit]) -> list[str]:
    """One note for each candidate that warned: its first message and in how many units it said something."""
    by_candidate: dict[str, list[list[str]]] = {}
    for unit in units:
        by_candidate.setdefault(unit.candidate, []).append(unit.warnings)
    notes = []
    for name, each in by_candidate.items():
        warned = [messages for messages in each if messages]
        if warned:
            notes.append(f"{name}: {warned[0][0].rstrip('.')} (in {len(warned)} of {len(each)} folds)")
    return notes
