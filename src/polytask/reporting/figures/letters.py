"""How wide text is on screen, without a screen: names must fit boxes of fixed size."""

from __future__ import annotations

import unicodedata
from typing import Any

from polytask.reporting.formats import clean

#: Widths in units of the size of the font, those of a wide sans-serif: in others, text ends earlier.
_NARROW, _USUAL, _BROAD, _FULL = 0.38, 0.64, 0.9, 1.05
_NARROW_LETTERS, _BROAD_LETTERS = frozenset("iljtfrI.,:;'|!()[] /-·"), frozenset("mwMWO@%QGDNH—…×&")


def width_of(text: str, size: float = 12.0) -> float:
    """Width in pixels, rather too wide than too narrow."""
    return size * sum(map(_em, text))


def fitted(text: Any, room: float, size: float = 12.0) -> str:
    """As much of the text as fits in `room` pixels, cut in the middle: names often differ at their ends."""
    text = clean(text)
    if width_of(text, size) <= room:
        return text
    best = "…" if width_of("…", size) <= room else ""
    for kept in range(1, len(text)):
        tail = kept // 2
        cut = f"{text[: kept - tail]}…{text[len(text) - tail :]}"
        if width_of(cut, size) > room:
            break
        best = cut
    return best


def _em(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return _FULL
    if unicodedata.combining(letter):
        return 0.0
    return _NARROW if letter in _NARROW_LETTERS else _BROAD if letter in _BROAD_LETTERS else _USUAL
