"""Gradients by parameter, apart from ``.grad``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

#: Parameter → gradient; parameters without one are not in it.
Gradients = dict[Tensor, Tensor]


def add_to(gradients: Gradients, parameter: Tensor, gradient: Tensor | None) -> None:
    """Add a gradient to those collected."""
    if gradient is not None:
        gradients[parameter] = gradients[parameter] + gradient if parameter in gradients else gradient


def add_gradients(gradients: Gradients) -> None:
    """Add to ``.grad``, as a backward pass does."""
    with torch.no_grad():
        for parameter, gradient in gradients.items():
            gradient = gradient.to(parameter.dtype)
            if parameter.grad is not None:
                parameter.grad += gradient
            elif _is_its_own(gradient) and gradient.stride() == parameter.stride():
                parameter.grad = gradient
            else:
                parameter.grad = torch.empty_like(parameter).copy_(gradient)


def _is_its_own(gradient: Tensor) -> bool:
    """Whether nobody else has a part of its memory."""
    return gradient._base is None or gradient._base.numel() == gradient.numel()


def weighted_gradients(
    outputs: Tensor | Sequence[Tensor],
    weights: Tensor | Sequence[Tensor],
    parameters: Iterable[Tensor],
    into: Gradients,
) -> None:
    """Add ``Σ_t w_t ∇L_t`` of these parameters to `into`; a parameter that no output reaches stays out."""
    parameters = list(parameters)
    found = torch.autograd.grad(outputs, parameters, weights, retain_graph=True, allow_unused=True)
    for parameter, gradient in zip(parameters, found):
        add_to(into, parameter, gradient)
