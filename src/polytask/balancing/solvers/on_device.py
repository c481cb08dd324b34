"""The same five problems in torch operations that never wait for the host, for gradients on an accelerator.

Interior-point and Newton iterations in fixed numbers: no value is looked at from Python, a factorisation that fails
leaves the iterate where it is. For Gramians of condition up to 1e6; the compiled solvers are exact beyond that, and
on a CPU a hundred times faster. Shapes and meanings are those of the compiled solvers of the same names.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Interior-point steps; Gramians of condition 1e6 were seen to need about half of them.
_INTERIOR_STEPS = 50
#: Newton steps of the fairness problems.
_NEWTON_STEPS = 50
#: Share of the way to the boundary that an interior step takes at most.
_TO_BOUNDARY = 0.95
#: Lengths of a step that are tried at once where one may be too long, each half of the one before.
_TRIES = 14


def min_norm(G: Tensor) -> Tensor:
    """Minimise ``wᵀGw`` over the simplex (MGDA), as `polytask.balancing.solvers.min_norm`.

    Parameters
    ----------
    G : Tensor of shape (T, T)
        Gramian of the gradients, with a positive diagonal.

    Returns
    -------
    Tensor of shape (T,), float64 where the device has it
    """
    G = _precise(G)
    lift = G.diagonal().min()
    # min ½ zᵀ(G + ρ11ᵀ)z − ρ1ᵀz over z ≥ 0 has its solution on the ray of w
    z = _orthant(G + lift, lift.expand(1, len(G)))[0]
    return z / z.sum()


def dual_cone(G: Tensor, U: Tensor | None = None) -> Tensor:
    """Minimise ``vᵀGv`` over ``v ≥ u`` for every row u of U (UPGrad), as `polytask.balancing.solvers.dual_cone`.

    Parameters
    ----------
    G : Tensor of shape (T, T)
        Gramian of the gradients, with a positive diagonal.
    U : Tensor of shape (m, T) or None
        Lower bounds; None means the identity.

    Returns
    -------
    Tensor of shape (m, T), float64 where the device has it
    """
    G = _precise(G)
    U = torch.eye(len(G), dtype=G.dtype, device=G.device) if U is None else U.to(G.dtype)
    return U + _orthant(G, -U @ G)


def cagrad(G: Tensor, c: float) -> Tensor:
    """Minimise ``g_wᵀg_0 + c ‖g_0‖ ‖g_w‖`` over the simplex, as `polytask.balancing.solvers.cagrad`.

    Parameters
    ----------
    G : Tensor of shape (T, T)
        Gramian of the gradients, with a positive diagonal.
    c : float
        Radius of the ball around g_0, in units of ‖g_0‖; not negative.

    Returns
    -------
    Tensor of shape (T,), float64 where the device has it
    """
    G = _precise(G)
    n = len(G)
    G = G / G.diagonal().mean()
    b, k = G.mean(1), c * G.mean().clamp_min(0).sqrt()
    w, s, nu = torch.full_like(b, 1 / n), torch.ones_like(b), torch.zeros_like(k)
    halvings = _halvings(G)
    for _ in range(_INTERIOR_STEPS):
        aim = (0.1 * (w @ s) / n).clamp_min(1e-18)
        # ‖g_w‖ smooth where it is zero, less and less so, as the barrier of its cone would make it
        blur = (aim / k.clamp_min(1e-12)) ** 2 + 1e-20
        Gw = G @ w
        length = ((w @ Gw).clamp_min(0) + blur).sqrt()
        # stationarity b + k Gw/‖g_w‖ = s + ν, complementarity w s = aim → 0, and Σ w = 1 from the start
        curve = k / length * (G - torch.outer(Gw, Gw) / length**2)
        rhs = torch.stack([aim / w - (b + k / length * Gw - nu), torch.ones_like(w)], 1)
        solved = _solve(curve + torch.diag(s / w), rhs)
        dnu = -solved[:, 0].sum() / solved[:, 1].sum().clamp_min(1e-300)
        dw = solved[:, 0] + dnu * solved[:, 1]
        ds = (aim - s * dw) / w - s
        tries = w + _room(w, dw) * halvings[:, None] * dw
        lengths = (((tries @ G) * tries).sum(1).clamp_min(0) + blur).sqrt()
        merit = tries @ b + k * lengths - aim * tries.log().sum(1)
        best = merit.argmin()[None]
        step = _room(s, ds) * halvings.index_select(0, best)
        w, s, nu = tries.index_select(0, best)[0], s + step * ds, nu + step * dnu
    return w / w.sum()


def nash(G: Tensor) -> Tensor:
    """Solve ``Gα = 1/α`` (Nash-MTL), as `polytask.balancing.solvers.nash`.

    Parameters
    ----------
    G : Tensor of shape (T, T)
        Gramian of the gradients, with a positive diagonal.

    Returns
    -------
    Tensor of shape (T,), float64 where the device has it
    """
    return fair(G, 1.0)


def fair(G: Tensor, a: float) -> Tensor:
    """Solve ``Gα = α^(−1/a)`` (FairGrad), as `polytask.balancing.solvers.fair`.

    Parameters
    ----------
    G : Tensor of shape (T, T)
        Gramian of the gradients, with a positive diagonal.
    a : float
        Positive.

    Returns
    -------
    Tensor of shape (T,), float64 where the device has it
    """
    G = _precise(G)
    G = G + torch.diag(len(G) * torch.finfo(G.dtype).eps * G.diagonal())
    alpha = G.diagonal() ** (-a / (1 + a))
    halvings = _halvings(G)
    for _ in range(_NEWTON_STEPS):
        power = alpha ** (-1 / a)
        gradient = G @ alpha - power
        y = -_solve(G + torch.diag(power / (a * alpha)), gradient[:, None])[:, 0] / alpha
        scaled = halvings[:, None] * y
        # straight in α, along which Gα is linear, but for what would get near zero
        tries = alpha * torch.where(scaled > -0.5, 1 + scaled, 0.25 / (-scaled).clamp_min(0.5))
        best = tries.index_select(0, _fair_values(G, a, tries).argmin()[None])[0]
        ray = ((best ** (1 - 1 / a)).sum() / (best @ G @ best).clamp_min(1e-300)) ** (a / (1 + a))
        near = y.abs().max() * (1 + 1 / a) <= 0.05  # differences of values are soon below rounding
        alpha = torch.where(near, tries[0], ray * best)
    return alpha


def _fair_values(G: Tensor, a: float, alphas: Tensor) -> Tensor:
    """½ αᵀGα − Σ α^(1−1/a) / (1−1/a) of each row, up to a constant."""
    q = 1 - 1 / a
    utility = alphas.log() if q == 0 else (q * alphas.log()).expm1() / q
    return 0.5 * ((alphas @ G) * alphas).sum(1) - utility.sum(1)


def _orthant(H: Tensor, B: Tensor) -> Tensor:
    """Minimise ``½ zᵀHz − bᵀz`` over z ≥ 0 for every row b of B, by a primal-dual interior point."""
    d = H.diagonal().rsqrt()
    K = H * torch.outer(d, d)
    F = B * d
    size = F.abs().amax(1, keepdim=True).clamp_min(torch.finfo(F.dtype).tiny)
    F = F / size
    z, s = torch.ones_like(F), torch.ones_like(F)
    for _ in range(_INTERIOR_STEPS):
        aim = (0.1 * (z * s).mean(1, keepdim=True)).clamp_min(1e-18)
        # stationarity Kz − f = s and complementarity z s = aim → 0
        rhs = aim / z - (z @ K - F)
        dz = _solve(K + torch.diag_embed(s / z), rhs[:, :, None])[:, :, 0]
        ds = (aim - s * dz) / z - s
        step = torch.minimum(_room(z, dz), _room(s, ds))
        z, s = z + step * dz, s + step * ds
    return z * size * d


def _halvings(like: Tensor) -> Tensor:
    return 0.5 ** torch.arange(_TRIES, dtype=like.dtype, device=like.device)


def _room(x: Tensor, dx: Tensor) -> Tensor:
    """Largest step of at most one, row by row, that keeps x positive."""
    share = (-dx / x).amax(-1, keepdim=x.ndim > 1)
    return _TO_BOUNDARY / share.clamp_min(_TO_BOUNDARY)


def _solve(A: Tensor, rhs: Tensor) -> Tensor:
    """Solve ``A x = rhs`` for positive definite A; zero where the factorisation fails."""
    factor, info = torch.linalg.cholesky_ex(A)
    x = torch.cholesky_solve(rhs, factor)
    return torch.where((info == 0)[..., None, None], x, 0.0)


def _precise(G: Tensor) -> Tensor:
    """In float64, which a T×T problem can afford, except where the device has none."""
    return G if G.device.type == "mps" else G.to(torch.float64)
