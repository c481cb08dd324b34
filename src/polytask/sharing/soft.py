"""Soft parameter sharing: a network per task, pulled towards each other layer by layer.

Duong, L., Cohn, T., Bird, S., Cook, P. (2015). Low resource dependency parsing: cross-lingual parameter
sharing in a neural network parser. ACL.
Distance to the mean: Evgeniou, T., Pontil, M. (2004). Regularized multi-task learning. KDD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.cards import Card
from polytask.sharing.networks import TaskNetworks, spread


class SoftSharing(TaskNetworks):
    """A network per task with the penalty ``Σ_l λ_l Σ_{s<t} ‖W_l⁽ˢ⁾ − W_l⁽ᵗ⁾‖²_F`` on the encoders.

    W_l are the weights and the bias of layer l. Heads stay free: with λ → ∞ the encoders become one, which is
    hard sharing; with λ = 0 they are single-task networks.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module
        Network of the first task up to its head; other tasks get copies with weights drawn anew.
    width : int, optional
        Width of the encoder's output; found by running it on `example` where it is not given.
    strength : float or sequence of float
        λ, one for all layers or one for each.
    distance : {"pairs", "mean"}
        "mean" uses ``Σ_t ‖W_l⁽ᵗ⁾ − W̄_l‖²``, which is the sum over pairs divided by T.
    task_hidden : sequence of int
        Widths of further layers before each output.
    dropout : float
        In these further layers.
    example : Tensor of shape (n, …), optional
        A few rows of input, from which the width is found.

    Raises
    ------
    SettingError
        For a negative λ, or as many λ as there are not layers.
    """

    name = "soft"
    card = Card(
        "Duong, Cohn, Bird & Cook 2015, Low resource dependency parsing, ACL; Evgeniou & Pontil 2004, KDD",
        "Σ_l λ_l Σ_{s<t} ‖W_l⁽ˢ⁾ − W_l⁽ᵗ⁾‖²_F",
        "a pull between the tasks' weights",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: nn.Module,
        width: int | None = None,
        *,
        strength: float | Sequence[float] = 1e-3,
        distance: str = "pairs",
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
    ) -> None:
        super().__init__(heads, encoder, width, task_hidden=task_hidden, dropout=dropout, example=example)
        if distance not in ("pairs", "mean"):
            raise SettingError(f"distance must be 'pairs' or 'mean', got {distance!r}.")
        self.distance = distance
        self.strength = per_layer(strength, len(self.layers()))

    def penalty(self) -> Tensor | None:
        """``Σ_l λ_l`` × the distance of layer l between tasks; None where all λ are zero."""
        factor = len(self.tasks) if self.distance == "pairs" else 1
        terms = [
            factor * strength * spread(stacked)
            for strength, layer in zip(self.strength, self.layers())
            if strength
            for stacked in layer
            if stacked.requires_grad
        ]
        return torch.stack(terms).sum() if terms else None


def per_layer(strength: float | Sequence[float], n_layers: int) -> list[float]:
    """One number for each layer, checked."""
    given = [strength] * n_layers if isinstance(strength, Real) else list(strength)  # type: ignore[arg-type]
    values = [float(value) for value in given]
    if len(values) != n_layers:
        raise SettingError(
            f"strength has {len(values)} values, but the encoder has {n_layers} layers with weights."
        )
    if any(not value >= 0 for value in values):
        raise SettingError(f"strength must be zero or more, got {strength!r}.")
    return values
