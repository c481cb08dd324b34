"""Which tone a verdict or a number has: blue for better, orange for worse, grey for neither."""

from __future__ import annotations

from typing import Any

from polytask.reporting.formats import finite

_TONES = {"helped": "helped", "hurt": "hurt"}


def of_verdict(verdict: Any) -> str:
    """The style class of a verdict."""
    return _TONES.get(str(verdict), "same")


def of_value(value: Any, limit: float) -> tuple[str, float]:
    """The style class of a signed number and how strong its colour is (0 to 0.6, full from `limit` on)."""
    value = finite(value)
    if value is None:
        return "same", 0.0
    return ("helped" if value > 0 else "hurt"), 0.6 * min(1.0, abs(value) / limit) if limit > 0 else 0.0


def limit_of(values: Any) -> float:
    """The size from which the colour is full: most values lie below it, and 2 at least (noise stays pale)."""
    sizes = sorted(abs(v) for v in map(finite, values) if v is not None)
    return max(2.0, sizes[int(0.9 * (len(sizes) - 1))]) if sizes else 2.0
