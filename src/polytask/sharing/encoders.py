"""Encoders for tables. Any other module from a batch of inputs to (n, width) serves as well."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def mlp(n_inputs: int, hidden: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers with ReLU, and dropout after each where asked.

    Parameters
    ----------
    n_inputs : int
    hidden : sequence of int
        Width of each layer; none gives the identity.
    dropout : float
        Probability in [0, 1).
    """
    layers: list[nn.Module] = []
    width = n_inputs
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = size
    return nn.Sequential(*layers)


def head(n_inputs: int, hidden: Sequence[int], n_outputs: int, dropout: float = 0.0) -> nn.Module:
    """The task-specific layers: an MLP and a linear output; a plain `nn.Linear` where `hidden` is empty."""
    output = nn.Linear(hidden[-1] if hidden else n_inputs, n_outputs)
    return nn.Sequential(*mlp(n_inputs, hidden, dropout), output) if hidden else output
