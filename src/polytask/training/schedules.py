"""Learning-rate schedules: factors on the learning rate, epoch by epoch."""

from __future__ import annotations

import math

from polytask.errors import SettingError

SCHEDULES = ("constant", "cosine", "plateau")

#: A plateau halves the rate ...
PLATEAU_FACTOR = 0.5
#: ... each time this share of the patience passes without an improvement.
PLATEAU_SHARE = 0.4


def check_schedule(name: str) -> None:
    if name not in SCHEDULES:
        raise SettingError(f"The schedule must be one of {', '.join(SCHEDULES)}; got {name!r}.")


def cosine_factor(epoch: int, max_epochs: int) -> float:
    """``½ (1 + cos(π e/E))``, from 1 down to almost 0 (Loshchilov & Hutter 2017, SGDR, one cycle)."""
    return 0.5 * (1 + math.cos(math.pi * epoch / max_epochs))


def plateau_factor(stale: int, patience: int, factor: float) -> float:
    """The factor after an epoch that is the `stale`-th without improvement."""
    every = max(1, round(PLATEAU_SHARE * patience))
    return factor * PLATEAU_FACTOR if stale and stale % every == 0 else factor
