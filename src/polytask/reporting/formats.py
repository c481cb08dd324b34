"""Numbers and names as people read them: three significant digits, signs on gains, times in words."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

#: Shown where a value is missing.
NOTHING = "–"

_MINUS = str.maketrans("-", "−")


def finite(value: Any) -> float | None:
    """The value as a float, or None if it is missing, NaN or infinite."""
    if value is None or isinstance(value, (str, bool)):
        return None
    value = float(value)
    return value if math.isfinite(value) else None


def number(value: Any) -> str:
    """Three significant digits; whole numbers from 1,000 on; powers of ten for the very large and small."""
    value = finite(value)
    if value is None:
        return NOTHING
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e7 or size < 1e-4:
        text = f"{value:.2e}"
    elif size >= 999.5:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"
    return text.translate(_MINUS)


def count(value: Any) -> str:
    """A whole number with separators."""
    value = finite(value)
    return NOTHING if value is None else f"{value:,.0f}".translate(_MINUS)


def percent(value: Any, unit: bool = True) -> str:
    """A gain in per cent with its sign; one decimal, or two where one would show only a zero."""
    value = finite(value)
    if value is None:
        return NOTHING
    decimals = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 0.095 else 2
    text = f"{value:+,.{decimals}f}".translate(_MINUS)
    if not text.strip("+−0.,"):
        text = "0"
    return f"{text} %" if unit else text


def tick(value: float) -> str:
    """A round number on an axis, without trailing zeros."""
    return f"{value:,.12g}".translate(_MINUS)


def percent_tick(value: float) -> str:
    """A round gain on an axis."""
    return "0 %" if value == 0 else f"{value:+,.12g} %".translate(_MINUS)


def interval(low: Any, high: Any) -> str:
    """Both ends of an interval in per cent."""
    if finite(low) is None and finite(high) is None:
        return NOTHING
    return f"{percent(low, unit=False)} to {percent(high, unit=False)}"


def share(value: Any) -> str:
    """A fraction between 0 and 1 in whole per cent."""
    value = finite(value)
    return NOTHING if value is None else f"{100 * value:.0f} %"


def p_value(value: Any) -> str:
    value = finite(value)
    if value is None:
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.0995 else f"{value:.2f}"


def duration(seconds: Any) -> str:
    """Seconds in words: 0.42 s, 33 s, 2 min 5 s, 1 h 12 min."""
    seconds = finite(seconds)
    if seconds is None:
        return NOTHING
    if seconds < 0.005:
        return "<0.01 s"
    if seconds < 9.95:
        return f"{seconds:.{2 if seconds < 0.995 else 1}f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def clean(text: Any) -> str:
    """Text without control characters and lone surrogates, which terminals obey and HTML forbids."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c for c in str(text)
    )


def shorten(text: Any, width: int) -> str:
    """At most `width` characters, cut in the middle: names often differ only at their ends."""
    text = clean(text)
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
