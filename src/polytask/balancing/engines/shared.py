"""What the user calls shared: a module, or parameters."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from polytask.errors import SettingError


def shared_parameters(shared: Any) -> dict[Tensor, str]:
    """Trainable parameters and their names, in order; frozen ones are left out.

    Parameters
    ----------
    shared : Module, or iterable of Parameter or of (name, Parameter)

    Raises
    ------
    SettingError
        For anything else.
    """
    if shared is None:
        return {}
    if isinstance(shared, nn.Module):
        return {p: name for name, p in shared.named_parameters() if p.requires_grad}
    out: dict[Tensor, str] = {}
    for i, entry in enumerate([shared] if isinstance(shared, Tensor) else shared):
        name, p = entry if isinstance(entry, tuple) else (f"number {i}", entry)
        if not isinstance(p, Tensor):
            raise SettingError(
                f"shared must be a module or parameters; entry {i} is of type {type(p).__name__}."
            )
        if not p.is_leaf:
            raise SettingError(
                f"shared must hold parameters; entry {i} of shape {tuple(p.shape)} is the result of a computation."
            )
        if p.requires_grad:
            out.setdefault(p, f"{name} of shape {tuple(p.shape)}")
    return out
