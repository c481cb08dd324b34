"""Balancers by name."""

from __future__ import annotations

import inspect
from typing import Any

from polytask.balancing.base import Balancer
from polytask.balancing.losses import Equal, Fixed
from polytask.errors import SettingError

#: Name → class.
BALANCERS: dict[str, type[Balancer]] = {cls.name: cls for cls in (Equal, Fixed)}


def get_balancer(name: str | Balancer, **settings: Any) -> Balancer:
    """A balancer by its name, made with `settings`; an instance is returned as it is.

    Raises
    ------
    SettingError
        For a name that is not known, settings that the method does not have, or settings next to an instance.
    """
    if isinstance(name, Balancer):
        if settings:
            raise SettingError(f"Settings {', '.join(settings)} are unused: the balancer is made already.")
        return name
    if name not in BALANCERS:
        raise SettingError(f"No balancing '{name}'; known: {', '.join(BALANCERS)}.")
    known = inspect.signature(BALANCERS[name]).parameters
    unknown = [key for key in settings if key not in known]
    if unknown:
        has = f"it has: {', '.join(known)}" if known else "it has none"
        raise SettingError(f"Balancing '{name}' has no setting '{unknown[0]}'; {has}.")
    missing = [key for key, p in known.items() if p.default is p.empty and key not in settings]
    if missing:
        raise SettingError(
            f"Balancing '{name}' needs its setting '{missing[0]}'; make it yourself and pass it."
        )
    return BALANCERS[name](**settings)
