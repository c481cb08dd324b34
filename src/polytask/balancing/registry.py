"""Balancers by name."""

from __future__ import annotations

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
    try:
        return BALANCERS[name](**settings)
    except TypeError as error:
        raise SettingError(f"Balancing '{name}': {error}.") from error
