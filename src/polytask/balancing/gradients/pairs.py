"""Numbers that belong to ordered pairs of tasks."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=64)
def pair_names(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """A key for each pair (i, j), row by row: m² of them. Quoted names keep the keys apart."""
    return tuple(f"{i!r}, {j!r}" for i in tasks for j in tasks)
