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
    taken: set[int] = set()
    with torch.no_grad():
        for parameter, gradient in gradients.items():
            if gradient.dtype != parameter.dtype:
                gradient = gradient.to(parameter.dtype)
            if parameter.grad is not None:
                parameter.grad += gradient
            elif gradient.is_sparse or _may_keep(gradient, parameter, taken):
                parameter.grad = gradient
            else:
                parameter.grad = torch.empty_like(parameter).copy_(gradient)
            if parameter._post_accumulate_grad_hooks:  # type: ignore[attr-defined]
                for hook in parameter._post_accumulate_grad_hooks.values():  # type: ignore[attr-defined]
                    hook(parameter)


def _may_keep(gradient: Tensor, parameter: Tensor, taken: set[int]) -> bool:
    """Whether the parameter may have this very tensor: nobody else has a part of its memory.

    Autograd hands the same tensor to several parameters whose gradients are equal, as in ``h + a + b``.
    """
    if gradient._base is not None and gradient._base.numel() != gradient.numel():
        return False
    if type(gradient) is not Tensor:  # a shard, made for this parameter, which does not tell its memory
        return True
    memory = gradient.untyped_storage().data_ptr()
    if memory in taken or gradient.stride() != parameter.stride():
        return False
    taken.add(memory)
    return True


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
