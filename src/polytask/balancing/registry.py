"""Balancers by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from typing import Any

from polytask.balancing import gradients, losses
from polytask.balancing.base import NEEDS, Balancer
from polytask.balancing.torchjd import from_torchjd, is_torchjd
from polytask.errors import SettingError

_METHODS = [getattr(module, name) for module in (losses, gradients) for name in module.__all__]

#: Name → class, as in the table of `balancing_methods`.
BALANCERS: dict[str, type[Balancer]] = {cls.name: cls for cls in _METHODS}


def balancing_methods() -> list[dict[str, str]]:
    """All methods at a glance: name, class, paper, formula, what it needs, backward passes, extra memory."""
    rows = [
        {"name": name, "class": cls.__name__, "needs": cls.needs, **vars(cls.card)}
        for name, cls in BALANCERS.items()
        if cls.card is not None
    ]
    return sorted(rows, key=lambda row: (NEEDS.index(row["needs"]), row["name"]))


def get_balancer(name: Any, **settings: Any) -> Balancer:
    """A balancer by its name, made with `settings`; an instance is returned as it is.

    A weighting or an aggregator of TorchJD becomes a balancer, see `from_torchjd`.

    Raises
    ------
    SettingError
        For a name that is not known, settings that the method does not have, or settings next to an instance.
    """
    if isinstance(name, Balancer):
        if settings:
            raise SettingError(f"Settings {', '.join(settings)} are unused: the balancer is made already.")
        return name
    if is_torchjd(name):
        _check_settings("torchjd", settings, ("gradients", "update_every"))
        return from_torchjd(name, **settings)
    if not isinstance(name, str):
        hint = f"; pass {name.__name__}()" if isinstance(name, type) else ""
        raise SettingError(f"A balancing is a name or a balancer, not {name!r}{hint}.")
    if name not in BALANCERS:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), BALANCERS, 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise SettingError(f"No balancing '{name}'.{hint} Known: {', '.join(BALANCERS)}.")
    known = inspect.signature(BALANCERS[name]).parameters
    _check_settings(name, settings, known)
    missing = [key for key, p in known.items() if p.default is p.empty and key not in settings]
    if missing:
        raise SettingError(
            f"Balancing '{name}' needs its setting '{missing[0]}'; make it yourself and pass it."
        )
    return BALANCERS[name](**settings)


def _check_settings(name: str, settings: Iterable[str], known: Iterable[str]) -> None:
    unknown = [key for key in settings if key not in known]
    if unknown:
        has = f"it has: {', '.join(known)}" if known else "it has none"
        raise SettingError(f"Balancing '{name}' has no setting '{unknown[0]}'; {has}.")
