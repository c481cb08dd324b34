"""What an architecture is made of, as plain data: for ownership of parameters, counts and drawings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from torch import nn


@dataclass(frozen=True)
class Part:
    """A box in the drawing of an architecture.

    Attributes
    ----------
    name : str
        Unique in the architecture, such as "layer 2" or "gate of income".
    tasks : tuple of str
        Tasks whose outputs depend on it.
    kind : str
        "layer", "expert", "gate", "stitch", "attention", "condition" or "head".
    parameters : tuple of Parameter
    inputs : tuple of str
        Names of the parts whose outputs it takes; none: the input x.
    shared : bool, optional
        Whether its parameters are shared by construction; None: where it has more than one task.
    members : tuple of str
        Names of the equal modules that it consists of, where these are stored together: experts, towers.
    """

    name: str
    tasks: tuple[str, ...]
    kind: str = "layer"
    parameters: tuple[nn.Parameter, ...] = field(default=(), repr=False)
    inputs: tuple[str, ...] = ()
    shared: bool | None = None
    members: tuple[str, ...] = ()

    @property
    def is_shared(self) -> bool:
        return len(self.tasks) > 1 if self.shared is None else self.shared


class Matrix(NamedTuple):
    """A table of numbers with names, to read or to draw as a heat map.

    Attributes
    ----------
    name : str
    rows, columns : tuple of str
    values : ndarray of shape (rows, columns)
        NaN where there is no such number.
    """

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: np.ndarray


def parameters_of(modules: nn.Module | Iterable[nn.Module]) -> tuple[nn.Parameter, ...]:
    """Parameters of one or several modules, each once."""
    modules = [modules] if isinstance(modules, nn.Module) else list(modules)
    found = {id(p): p for module in modules for p in module.parameters()}
    return tuple(found.values())


def described(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Parts as data for JSON; "layer" is the longest way from the input, which is 0."""
    layer: dict[str, int] = {}
    for part in parts:
        layer[part.name] = 1 + max((layer[name] for name in part.inputs), default=0)
    return [
        {
            "name": part.name,
            "kind": part.kind,
            "layer": layer[part.name],
            "tasks": list(part.tasks),
            "shared": part.is_shared,
            "parameters": sum(p.numel() for p in part.parameters),
            "inputs": list(part.inputs),
            "members": list(part.members),
        }
        for part in parts
    ]
