"""Debug mode: solvers that alternate assert that their objective never increases.

Set the environment variable POLYTASK_DEBUG=1 before the fit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence


def debugging() -> bool:
    """Whether debug mode is on."""
    return os.environ.get("POLYTASK_DEBUG", "0") not in ("", "0")


def assert_descent(objective: Sequence[float], solver: str, slack: float = 1e-10) -> None:
    """In debug mode, assert that the last step did not raise the objective.

    Parameters
    ----------
    objective : sequence of float
        Values so far.
    solver : str
        Whose steps these are.
    slack : float
        Increase that rounding errors may cause, as a share of the objective's size.
    """
    if not debugging() or len(objective) < 2:
        return
    before, after = objective[-2], objective[-1]
    assert after <= before + slack * max(1.0, abs(before), abs(after)), (
        f"{solver}: the objective rose from {before!r} to {after!r} at step {len(objective) - 1}."
    )
