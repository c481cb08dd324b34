"""What the user calls shared: a module, or parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from polytask.errors import SettingError


def shared_parameters(shared: Any) -> dict[Tensor, str]:
    """Trainable parameters and their names, in order; frozen ones are left out.

    Parameters
    ----------
    shared : Module, or iterable of Module, Parameter or (name, Parameter)

    Raises
    ------
    SettingError
        For anything else, or nothing at all.
    """
    named: list[tuple[str, Tensor]]
    if isinstance(shared, nn.Module):
        named = [(name, p) for name, p in shared.named_parameters()]
    elif isinstance(shared, Iterable):
        named = _named([shared] if isinstance(shared, Tensor) else shared)
    else:
        raise SettingError(f"shared must be a module or parameters, not {type(shared).__name__}.")
    if not named:
        raise SettingError(
            "shared has no parameters: give the module that the tasks share, or its parameters."
        )
    return {p: name for name, p in named if p.requires_grad}


def _named(entries: Iterable[Any]) -> list[tuple[str, Tensor]]:
    out: list[tuple[str, Tensor]] = []
    for i, entry in enumerate(entries):
        if isinstance(entry, nn.Module):
            out += [(f"{i}.{name}", p) for name, p in entry.named_parameters()]
            continue
        name, p = entry if isinstance(entry, tuple) else (f"number {i}", entry)
        if not isinstance(p, Tensor):
            raise SettingError(
                f"shared must be a module or parameters; entry {i} is of type {type(p).__name__}."
            )
        if not p.is_leaf:
            raise SettingError(
                f"shared must hold parameters; entry {i} of shape {tuple(p.shape)} is the result of a computation."
            )
        out.append((name if isinstance(entry, tuple) else f"{name} of shape {tuple(p.shape)}", p))
    return out
