"""Losses for people and for programs to follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Tasks that the progress bar has room for.
SHOWN = 6


def append_line(path: str | Path | None, record: dict[str, Any]) -> None:
    """One line of JSON at the end of a file."""
    if path is not None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def shown(losses: dict[str, float | None]) -> str:
    """Losses for the progress bar: all of a few tasks, or the worst of many."""
    known = {task: loss for task, loss in losses.items() if loss is not None}
    names = list(known) if len(known) <= SHOWN else sorted(known, key=lambda t: -known[t])[:SHOWN]
    return " ".join(f"{t}={known[t]:.3g}" for t in names) + (" …" if len(known) > SHOWN else "")
