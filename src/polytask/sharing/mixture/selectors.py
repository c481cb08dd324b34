"""DSelect-k gates: each task takes at most k experts, chosen by binary codes that gradients can move.

Hazimeh, H., Zhao, Z., Chowdhery, A., Sathiamoorthy, M., Chen, Y., Mazumder, R., Hong, L., Chi, E. H. (2021).
DSelect-k: differentiable selection in the mixture of experts with applications to multi-task learning. NeurIPS.
Smooth-step: Hazimeh, H. et al. (2020). The tree ensemble layer: differentiability meets conditional
computation. ICML.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.mixture.gates import Gates
from polytask.sharing.parallel import Parallel
from polytask.sharing.parts import parameters_of

#: Keeps the logarithm of the entropy finite.
TINY = 1e-6
#: Keeps the penalty of a selector that has lost all experts finite.
LOST = 1e-3


class SelectorGates(Gates):
    """``q(α, z) = Σ_i σ(α)_i r(z⁽ⁱ⁾)``: a softmax σ over k selectors r, of one expert each.

    Parameters
    ----------
    n_gates : int
        Number of gates, a gate for each task.
    n_inputs : int
        Width d of what gates see.
    n_experts, k : int
        Number E of experts, and the largest number of them that a gate takes.
    gamma : float
        γ, the width of the region in which the smooth-step S is neither 0 nor 1.
    per_example : bool
        Whether ``α = G x`` and ``z⁽ⁱ⁾ = W⁽ⁱ⁾ x`` (without biases, as in the paper; its code has them), or both
        are parameters ("static").

    Notes
    -----
    With ``m = ⌈log₂ E⌉``, codes are written in binary and
    ``r(z)_i = Π_{j∈B(i−1)} S(z_j) Π_{j∉B(i−1)} (1 − S(z_j))``, B(i) the places of the ones in i. Weights of
    codes beyond E − 1 go to no expert, see `penalty`.
    """

    def __init__(
        self, n_gates: int, n_inputs: int, n_experts: int, k: int, gamma: float, per_example: bool
    ) -> None:
        super().__init__()
        if not 1 <= k <= n_experts:
            raise SettingError(f"k must be from 1 to n_experts={n_experts}, got {k}.")
        if not gamma > 0:
            raise SettingError(f"gamma must be more than zero, got {gamma}.")
        self.n_gates, self.n_experts, self.k, self.gamma = n_gates, n_experts, k, gamma
        self.n_bits = (n_experts - 1).bit_length()
        self.per_example = per_example
        width = k * (1 + self.n_bits)
        make = [
            nn.Linear(n_inputs, width, bias=False) if per_example else Constant(width) for _ in range(n_gates)
        ]
        for logits in make:
            self._draw(next(logits.parameters()))
        self.logits = Parallel(make)
        self._last: tuple[Tensor, list[int]] | None = None

    def _draw(self, logits: Tensor) -> None:
        """As in the authors' code: near the middle of S, where all experts count."""
        with torch.no_grad():
            logits[: self.k].uniform_(-0.05, 0.05)
            logits[self.k :].uniform_(-self.gamma / 100, self.gamma / 100)

    def forward(self, z: Tensor, gates: Sequence[int] | None = None) -> Tensor:
        chosen = list(range(self.n_gates) if gates is None else gates)
        # Without its graph, which a backward pass of the losses would free.
        self.__dict__["_last"] = (z.detach(), chosen)
        share, selectors = self._selectors(z, chosen)
        return torch.einsum("gnk,gnke->gne", share, selectors)

    def penalty(self, entropy: float, reach: float) -> Tensor:
        """Push selectors of the gates last asked for to one expert, and to one that exists.

        ``Σ_gates Σ_i [entropy · h(r⁽ⁱ⁾) + reach · (1/s⁽ⁱ⁾ − 1)]``, h the entropy, s the weight of codes that have
        an expert; the second term is there where E is no power of 2. Rows are averaged (the authors' code sums
        them, so that it depends on the batch size). Gradients reach gates alone, not what gates see.
        """
        like = next(self.parameters())
        seen, chosen = self._last or (like.new_zeros(1, like.shape[-1]), list(range(self.n_gates)))
        r = self._selectors(seen, chosen)[1]
        terms = -entropy * (r * torch.log(r + TINY)).sum(-1)
        if self.n_experts < 2**self.n_bits:
            terms = terms + reach * (1 / (r.sum(-1) + LOST) - 1 / (1 + LOST))
        return terms.mean(1).sum()

    def parameters_of(self, gate: int) -> tuple[nn.Parameter, ...]:
        return parameters_of(self.logits.members[gate])

    def _selectors(self, z: Tensor, chosen: list[int]) -> tuple[Tensor, Tensor]:
        """Softmax over selectors (G, n, k), and each selector's experts (G, n, k, E); n is 1 if static."""
        members = None if chosen == list(range(self.n_gates)) else chosen
        if self.per_example:
            logits = self.logits(z, members)
        else:
            logits = self.logits.stacked(members)["value"].unsqueeze(1)
        alpha, codes = logits.split([self.k, self.k * self.n_bits], -1)
        step = smooth_step(codes.unflatten(-1, (self.k, self.n_bits)), self.gamma)
        return alpha.softmax(-1), code_weights(step)[..., : self.n_experts]

    def __getstate__(self) -> dict[str, object]:
        # The rows last seen are no part of a copy.
        return {**self.__dict__, "_last": None}


class Constant(nn.Module):
    """What a static gate has instead of a layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(width))


def smooth_step(t: Tensor, gamma: float) -> Tensor:
    """``S(t) = −2t³/γ³ + 3t/(2γ) + 1/2`` in (−γ/2, γ/2), 0 below and 1 above: once differentiable."""
    t = (t / gamma).clamp(-0.5, 0.5)
    return t * (1.5 - 2 * t * t) + 0.5


def code_weights(step: Tensor) -> Tensor:
    """Weight of each binary number: (…, m) → (…, 2^m), the first place being that of the ones."""
    # A product over places would be differentiated by divisions, and there are zeros.
    weights = torch.ones_like(step[..., :1]) if step.shape[-1] else step.new_ones(*step.shape[:-1], 1)
    for place in step.unbind(-1):
        place = place.unsqueeze(-1)
        weights = torch.cat([weights * (1 - place), weights * place], -1)
    return weights
