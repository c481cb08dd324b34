"""Soft parameter sharing: a network per task, pulled towards each other layer by layer.

Duong, L., Cohn, T., Bird, S., Cook, P. (2015). Low resource dependency parsing: cross-lingual parameter
sharing in a neural network parser. ACL.
Distance to the mean: Evgeniou, T., Pontil, M. (2004). Regularized multi-task learning. KDD.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.base import Rows, Sharing
from polytask.sharing.encoders import mlp
from polytask.sharing.networks import TaskNetworks, spread


class SoftSharing(Sharing):
    """A network per task with the penalty ``Σ_l λ_l Σ_{s<t} ‖W_l⁽ˢ⁾ − W_l⁽ᵗ⁾‖²_F`` on the encoders.

    W_l are the weights and the bias of layer l. Heads stay free: with λ → ∞ the encoders become one, which is
    hard sharing; with λ = 0 they are single-task networks.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module
        Network of the first task up to its head; other tasks get copies with weights drawn anew.
    width : int
        Width of the encoder's output.
    strength : float or sequence of float
        λ, one for all layers or one for each.
    distance : {"pairs", "mean"}
        "mean" uses ``Σ_t ‖W_l⁽ᵗ⁾ − W̄_l‖²``, which is the sum over pairs divided by T.
    task_hidden : sequence of int
        Widths of further layers before each output.
    dropout : float
        In these further layers.

    Raises
    ------
    SettingError
        For a negative λ, or as many λ as there are not layers.
    """

    name = "soft"

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: nn.Module,
        width: int,
        *,
        strength: float | Sequence[float] = 1e-3,
        distance: str = "pairs",
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(heads)
        if distance not in ("pairs", "mean"):
            raise SettingError(f"distance must be 'pairs' or 'mean', got {distance!r}.")
        self.networks = TaskNetworks(heads, encoder, width, task_hidden, dropout)
        self.distance = distance
        self.strength = _per_layer(strength, len(self.networks.layers()))

    @classmethod
    def for_table(
        cls,
        n_inputs: int,
        heads: Mapping[str, int],
        *,
        hidden: Sequence[int] = (64, 64),
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        strength: float | Sequence[float] = 1e-3,
        distance: str = "pairs",
    ) -> SoftSharing:
        """An MLP per task."""
        out = cls(
            heads,
            mlp(n_inputs, hidden, dropout),
            hidden[-1] if hidden else n_inputs,
            strength=strength,
            distance=distance,
            task_hidden=task_hidden,
            dropout=dropout,
        )
        out.settings = {
            "hidden": list(hidden),
            "task_hidden": list(task_hidden),
            "dropout": dropout,
            "strength": strength if isinstance(strength, (int, float)) else list(strength),
            "distance": distance,
        }
        return out

    @property
    def columns(self) -> dict[str, slice]:
        return self.networks.towers.columns

    def forward(self, x: Tensor, rows: Rows | None = None) -> dict[str, Tensor]:
        return self.networks(x, self.check_rows(rows))

    def table(self, x: Tensor) -> Tensor:
        return self.networks.table(x)

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        return self.networks.own(x, task_of_row)

    def penalty(self) -> Tensor | None:
        """``Σ_l λ_l`` × the distance of layer l between tasks; None where all λ are zero."""
        factor = len(self.tasks) if self.distance == "pairs" else 1
        terms = [
            factor * strength * spread(stacked)
            for strength, layer in zip(self.strength, self.networks.layers())
            if strength
            for stacked in layer
        ]
        return torch.stack(terms).sum() if terms else None

    @property
    def takes_blocks(self) -> bool:
        return self.networks.takes_blocks

    def own_blocks(self, x: Tensor, tasks: Sequence[int] | None = None) -> Tensor:
        return self.networks.own_blocks(x, tasks)

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        return iter(())

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        return self.networks.parameters_of(task)


def _per_layer(strength: float | Sequence[float], n_layers: int) -> list[float]:
    values = (
        [float(strength)] * n_layers if isinstance(strength, (int, float)) else [float(s) for s in strength]
    )
    if len(values) != n_layers:
        raise SettingError(
            f"strength has {len(values)} values, but the encoder has {n_layers} layers with weights."
        )
    if any(not value >= 0 for value in values):
        raise SettingError(f"strength must be zero or more, got {strength!r}.")
    return values
