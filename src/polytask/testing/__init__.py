"""Conformance suites: does a method of your own keep the contract that the library relies on?

Each check raises an AssertionError that names the rule that was broken; no test framework is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"check_candidate": "candidates", "check_balancer": "balancers", "check_sharing": "sharings"}

__all__ = ["check_balancer", "check_candidate", "check_sharing"]


def __getattr__(name: str) -> Any:
    """Checks of networks load torch, so each is imported on first use."""
    if name in _HOMES:
        return getattr(import_module(f"polytask.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'polytask.testing' has no attribute {name!r}")
