"""Asserting in words: what is checked, and what was found instead."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


class Claims:
    """Raises an AssertionError that starts with the name of what is being checked.

    Parameters
    ----------
    subject : str
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject

    def holds(self, condition: bool, message: str) -> None:
        """Raise `message` unless the condition is true."""
        if not condition:
            raise AssertionError(f"{self.subject}: {message}")

    def same(self, got: Any, wanted: Any, message: str, tolerance: float = 1e-8) -> None:
        """Raise `message` unless two arrays agree within an absolute and relative tolerance."""
        got, wanted = np.asarray(got, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
        self.holds(got.shape == wanted.shape, f"{message}: shape {got.shape} instead of {wanted.shape}.")
        if not np.allclose(got, wanted, rtol=tolerance, atol=tolerance):
            self.holds(False, f"{message}: they differ by up to {np.abs(got - wanted).max():.2g}.")

    def plain(self, value: Any, message: str) -> None:
        """Raise `message` unless the value is plain data that JSON can hold."""
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"{self.subject}: {message}: {error}.") from error
