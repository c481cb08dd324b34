"""Soft sharing by trace norm: a network per task, whose stacked weights are drawn to low rank layer by layer.

Yang, Y., Hospedales, T. (2017). Trace norm regularised deep multi-task learning. ICLR workshop.
Proximal steps for several norms, one after another: Bertsekas, D. (2011). Incremental proximal methods for large
scale convex optimization. Mathematical Programming 129, 163–195.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from polytask.errors import SettingError
from polytask.sharing.cards import Card
from polytask.sharing.networks import TaskNetworks
from polytask.sharing.parts import Matrix
from polytask.sharing.soft import per_layer

FORMS = ("matrix", "tucker", "train")
METHODS = ("penalty", "proximal")


class TraceNormSharing(TaskNetworks):
    """A network per task with ``Σ_l λ_l Σ_i ‖unfolding i of 𝒲_l‖_*`` on the encoders.

    𝒲_l stacks the tasks' weights of layer l along one more axis, and ‖·‖_* is the sum of the singular values of
    a matrix. Low rank means that tasks' weights are mixtures of a few: how much is shared is learned in each
    layer. Weights with two or more axes take part; biases and the parameters of normalisations do not, nor do
    the heads. With λ = 0 these are single-task networks.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module
        Network of the first task up to its head; other tasks get copies with weights drawn anew.
    width : int, optional
        Width of the encoder's output; found by running it on `example` where it is not given.
    strength : float or sequence of float
        λ, one for all layers or one for each layer with such weights.
    form : {"matrix", "tucker", "train"}
        The unfoldings: "matrix" has tasks × all the rest (the paper's last axis flattening); "tucker" one
        matrix for each axis, that axis × the rest; "train" the tensor train's, the first i axes × the rest for
        every i. The paper has tasks on the last axis and PyTorch's order of axes reversed, which gives the same
        matrices transposed. All unfoldings have the same λ, as in the paper's experiments.
    method : {"penalty", "proximal"}
        "penalty" adds the norm to the objective, with the subgradient ``U Vᵀ``; singular values become small,
        not zero. "proximal" lowers every singular value by step size × λ after each step of the optimizer, down
        to zero, which gives low rank exactly. With one unfolding ("matrix") this is the proximal step; with
        several they follow one another, which differs from the proximal step of their sum by the square of the
        step size, and raises the rank of no unfolding. Random weights have full rank: until the step sizes × λ
        add up to the singular values at the start (4.6 each for 64 × 64 weights), nothing is zero. Under an
        adaptive optimizer, whose steps are scaled, the same λ weighs otherwise than as a penalty.
    task_hidden : sequence of int
        Widths of further layers before each output.
    dropout : float
        In these further layers.
    example : Tensor of shape (n, …), optional
        A few rows of input, from which the width is found.

    Raises
    ------
    SettingError
        For a negative λ, as many λ as there are not layers, or an unknown form or method.
    """

    name = "trace_norm"
    card = Card(
        "Yang & Hospedales 2017, Trace norm regularised deep multi-task learning, ICLR workshop",
        "Σ_l λ_l Σ_i ‖unfolding i of 𝒲_l‖_*",
        "a pull of the tasks' stacked weights to low rank",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: nn.Module,
        width: int | None = None,
        *,
        strength: float | Sequence[float] = 1e-3,
        form: str = "matrix",
        method: str = "penalty",
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
    ) -> None:
        super().__init__(heads, encoder, width, task_hidden=task_hidden, dropout=dropout, example=example)
        for setting, value, known in (("form", form, FORMS), ("method", method, METHODS)):
            if value not in known:
                raise SettingError(f"{setting} must be one of {', '.join(known)}; got {value!r}.")
        self.form, self.method = form, method
        self.strength = per_layer(strength, len(self.weights()))

    def weights(self) -> list[dict[str, Tensor]]:
        """The encoders' weights layer by layer: name of the parameter → (T, *shape)."""
        out: dict[str, dict[str, Tensor]] = {}
        for name, stacked in self.encoders.stacked().items():
            if stacked.dim() > 2:
                out.setdefault(name.rpartition(".")[0], {})[name] = stacked
        return list(out.values())

    def penalty(self) -> Tensor | None:
        """``Σ_l λ_l Σ_i ‖·‖_*``; None where all λ are zero, or steps are proximal."""
        if self.method == "proximal":
            return None
        terms = [
            strength * nuclear_norm(matrix)
            for strength, _, stacked in self._trained()
            for matrix in unfoldings(stacked, self.form)
        ]
        return torch.stack(terms).sum() if terms else None

    @torch.no_grad()
    def after_step(self) -> None:
        """Lower the singular values by `step_size` × λ, where steps are proximal."""
        if self.method == "penalty":
            return
        for strength, name, stacked in self._trained():
            if self.step_size is None:
                raise SettingError(
                    "A proximal step is as long as the optimizer's: set network.step_size to its learning rate "
                    "before after_step()."
                )
            values = threshold_unfoldings(stacked, self.step_size * strength, self.form)
            # Written through the members: training may have moved them into a table of its own.
            for member, value in zip(self.encoders.members, values):
                member.get_parameter(name).copy_(value)

    def ranks(self, tolerance: float = 1e-3) -> list[Matrix]:
        """Numerical ranks of the stacked weights: layers × unfoldings.

        Parameters
        ----------
        tolerance : float
            Singular values up to this share of the largest one count as zero.

        Returns
        -------
        list of one Matrix
            NaN where a layer has fewer unfoldings than another.
        """
        found: dict[str, dict[str, int]] = {}
        for i, layer in enumerate(self.weights(), start=1):
            for name, stacked in layer.items():
                label = f"layer {i}" if len(layer) == 1 else f"layer {i} {name.rpartition('.')[2]}"
                matrices = unfoldings(stacked.detach(), self.form)
                ranks = [_rank(matrix, tolerance) for matrix in matrices]
                found[label] = dict(zip(_names(stacked.dim(), self.form), ranks))
        columns = tuple(dict.fromkeys(name for row in found.values() for name in row))
        values = np.array(
            [[row.get(name, np.nan) for name in columns] for row in found.values()], dtype=float
        )
        return [Matrix("ranks", tuple(found), columns, values.reshape(len(found), len(columns)))]

    def _trained(self) -> list[tuple[float, str, Tensor]]:
        """λ, name and stack of the weights that are trained and have a λ."""
        first = self.encoders.members[0]
        return [
            (strength, name, stacked)
            for strength, layer in zip(self.strength, self.weights())
            for name, stacked in layer.items()
            if strength and first.get_parameter(name).requires_grad
        ]


# ---------------------------------------------------------------------- unfoldings


def unfoldings(tensor: Tensor, form: str) -> list[Tensor]:
    """The matrices of a form, see `TraceNormSharing`."""
    if form == "matrix":
        return [tensor.flatten(1)]
    if form == "tucker":
        return [tensor.movedim(axis, 0).flatten(1) for axis in range(tensor.dim())]
    return [tensor.flatten(0, i - 1).flatten(1) for i in range(1, tensor.dim())]


def threshold_unfoldings(tensor: Tensor, amount: float, form: str) -> Tensor:
    """Lower the singular values of one unfolding after another."""
    shape = tensor.shape
    if form == "tucker":
        for axis in range(tensor.dim()):
            moved = tensor.movedim(axis, 0)
            lowered = threshold(moved.flatten(1), amount).view(moved.shape)
            tensor = lowered.movedim(0, axis)
        return tensor
    for i in range(1, 2 if form == "matrix" else tensor.dim()):
        tensor = threshold(tensor.reshape(shape[:i].numel(), -1), amount).view(shape)
    return tensor


def _names(n_axes: int, form: str) -> tuple[str, ...]:
    axes = ["tasks", *(f"axis {i}" for i in range(1, n_axes))]
    if form == "matrix":
        return ("tasks",)
    return tuple(axes) if form == "tucker" else tuple(" × ".join(axes[:i]) for i in range(1, n_axes))


# ---------------------------------------------------------------------- singular values


def nuclear_norm(matrix: Tensor) -> Tensor:
    """``‖W‖_*``, with the subgradient ``U Vᵀ`` of the directions in which W is not zero.

    That is ``W (WᵀW)^{-1/2}``, also where singular values are equal or zero: autograd through an SVD divides by
    their differences.
    """
    return _NuclearNorm.apply(matrix)


class _NuclearNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        u, sigma = _left(wide)
        polar = _rescaled(wide, u, sigma, _is_some(wide, sigma).to(sigma))
        ctx.save_for_backward(polar if wide is matrix else polar.T)
        return sigma.sum().to(matrix)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (polar,) = ctx.saved_tensors
        return grad * polar


def threshold(matrix: Tensor, amount: float) -> Tensor:
    """``U (Σ − amount)₊ Vᵀ``, the proximal step of ``amount · ‖·‖_*``."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    u, sigma = _left(wide)
    lowered = _rescaled(wide, u, sigma, (sigma - amount).clamp(min=0))
    return lowered if wide is matrix else lowered.T.contiguous()


def _left(wide: Tensor) -> tuple[Tensor, Tensor]:
    """Left singular vectors and singular values of a wide matrix, without the long right ones.

    In single precision from the eigenvalues of ``W Wᵀ`` in double precision, which loses nothing: a tenth of the
    time of a SVD. In double precision, where squaring would lose half of the digits, from the triangle of QR.
    """
    if not bool(torch.isfinite(wide).all()):
        n = len(wide)
        return torch.eye(n, dtype=wide.dtype, device=wide.device), wide.new_full((n,), torch.nan)
    if wide.dtype == torch.float64:
        triangle = torch.linalg.qr(wide.T, mode="r").R
        u, sigma, _ = torch.linalg.svd(triangle.T)
        return u, sigma
    double = wide.double()
    squares, u = torch.linalg.eigh(double @ double.T)
    return u, squares.clamp(min=0).sqrt()


def _is_some(wide: Tensor, sigma: Tensor) -> Tensor:
    """Which singular values are more than rounding; all where they are not numbers."""
    return ~(sigma <= len(wide) * torch.finfo(wide.dtype).eps * sigma.max())


def _rescaled(wide: Tensor, u: Tensor, sigma: Tensor, new: Tensor) -> Tensor:
    """The matrix with other singular values: ``U (new / Σ) Uᵀ W``."""
    factors = torch.where(_is_some(wide, sigma), new / sigma, torch.zeros_like(sigma))
    return ((u * factors) @ u.T).to(wide) @ wide


def _rank(matrix: Tensor, tolerance: float) -> int:
    sigma = torch.linalg.svdvals(matrix)
    return int((sigma > tolerance * sigma.max()).sum())
