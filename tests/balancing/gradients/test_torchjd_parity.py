"""The same directions as TorchJD 0.18, where it has the method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from polytask.balancing.gradients import (
    IMTLG,
    MGDA,
    AlignedMTL,
    CAGrad,
    ConFIG,
    FairGrad,
    GradDrop,
    GradVac,
    PCGrad,
    UPGrad,
)
from polytask.balancing.gradients import gradvac as gradvac_file
from polytask.balancing.gradients import pcgrad as pcgrad_file

from .jacobians import direction_of, random_jacobian

aggregation = pytest.importorskip("torchjd.aggregation")
linalg = pytest.importorskip("torchjd.linalg")

SHAPES = [(2, 3, 0), (3, 5, 1), (5, 20, 3), (11, 50, 4)]


def with_duplicates(seed: int) -> np.ndarray:
    jacobian = random_jacobian(4, 9, seed)
    return jacobian[[0, 1, 2, 1, 3, 0]]


def agree(mine: Any, theirs: Any, jacobian: np.ndarray, tolerance: float) -> None:
    expected = theirs(torch.from_numpy(jacobian)).numpy()
    found = direction_of(mine, jacobian)
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize(("m", "p", "seed"), SHAPES)
def test_closed_forms(m: int, p: int, seed: int) -> None:
    jacobian = random_jacobian(m, p, seed)
    agree(IMTLG(), aggregation.IMTLG(), jacobian, 1e-8)
    agree(AlignedMTL(), aggregation.AlignedMTL(), jacobian, 1e-8)
    agree(ConFIG(), aggregation.ConFIG(), jacobian, 1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_closed_forms_with_duplicates(seed: int) -> None:
    jacobian = with_duplicates(seed)
    agree(AlignedMTL(), aggregation.AlignedMTL(), jacobian, 1e-6)
    agree(ConFIG(), aggregation.ConFIG(), jacobian, 1e-6)
    agree(IMTLG(), aggregation.IMTLG(), jacobian, 1e-6)


@pytest.mark.parametrize(("m", "p", "seed"), SHAPES)
def test_solvers(m: int, p: int, seed: int) -> None:
    """TorchJD's are approximate: Frank–Wolfe, Clarabel, least squares."""
    jacobian = random_jacobian(m, p, seed)
    agree(MGDA(), aggregation.MGDA(epsilon=1e-9, max_iters=3000), jacobian, 2e-2)
    agree(CAGrad(0.4), aggregation.CAGrad(0.4), jacobian, 5e-4)
    agree(FairGrad(2.0), aggregation.FairGrad(2.0), jacobian, 1e-4)


class Projector(linalg.DualConeProjector):  # type: ignore[misc]
    """TorchJD's own needs a package that is not free for all uses."""

    def __call__(self, rows: torch.Tensor, gramian: torch.Tensor) -> torch.Tensor:
        values, vectors = np.linalg.eigh(gramian.numpy())
        jacobian = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
        found = [u + nnls(jacobian, -jacobian @ u)[0] for u in rows.numpy()]
        return torch.from_numpy(np.array(found))


@pytest.mark.parametrize(("m", "p", "seed"), SHAPES)
def test_upgrad(m: int, p: int, seed: int) -> None:
    agree(UPGrad(), aggregation.UPGrad(projector=Projector()), random_jacobian(m, p, seed), 1e-7)


def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides meet the tasks in their given order."""
    monkeypatch.setattr(torch, "randperm", lambda n: torch.arange(n))
    for file in (pcgrad_file, gradvac_file):
        monkeypatch.setattr(file, "random_orders", lambda draws, m: np.tile(np.arange(m), (m, 1)))


@pytest.mark.parametrize(("m", "p", "seed"), SHAPES)
def test_pcgrad(monkeypatch: pytest.MonkeyPatch, m: int, p: int, seed: int) -> None:
    in_order(monkeypatch)
    agree(PCGrad(), aggregation.PCGrad(), random_jacobian(m, p, seed), 1e-9)


@pytest.mark.parametrize(("m", "p", "seed"), SHAPES)
def test_gradvac_over_steps(monkeypatch: pytest.MonkeyPatch, m: int, p: int, seed: int) -> None:
    in_order(monkeypatch)
    mine, theirs = GradVac(beta=0.5), aggregation.GradVac(beta=0.5, eps=0.0)
    for step in range(4):
        agree(mine, theirs, random_jacobian(m, p, seed + 10 * step), 1e-8)


def test_graddrop(monkeypatch: pytest.MonkeyPatch) -> None:
    jacobian = random_jacobian(4, 60, 0)
    uniform = GradDrop(seed=2)._uniform(torch.from_numpy(jacobian[0]))
    monkeypatch.setattr(torch, "rand", lambda *_, **__: uniform)
    agree(GradDrop(seed=2), aggregation.GradDrop(), jacobian, 1e-12)
