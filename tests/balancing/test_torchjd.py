from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from polytask.balancing import torchjd as adapter
from polytask.balancing.by_gradients import GradientBalancer
from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.torchjd import from_torchjd, is_torchjd
from polytask.errors import MissingPackageError, SettingError

from .gradients.jacobians import direction_of, random_jacobian

aggregation = pytest.importorskip("torchjd.aggregation")
JACOBIAN = random_jacobian(4, 9, 0)

OF_GRAMIANS: list[Callable[[], Any]] = [
    lambda: aggregation.MGDAWeighting(),
    lambda: aggregation.MGDA(),
    lambda: aggregation.MeanWeighting(),
    lambda: aggregation.ConstantWeighting(torch.tensor([1.0, 2.0, 3.0, 4.0])),
    lambda: aggregation.AlignedMTL(torch.tensor([1.0, 2.0, 3.0, 4.0])),
    lambda: aggregation.CRMOGMWeighting(aggregation.MGDAWeighting()),
    lambda: aggregation.Krum(1, 2),
]
OF_MATRICES: list[Callable[[], Any]] = [
    lambda: aggregation.ConFIG(),
    lambda: aggregation.TrimmedMean(1),
    lambda: aggregation.ExcessMTLWeighting(),
    lambda: aggregation.CRMOGMWeighting(aggregation.ExcessMTLWeighting()),
]


def of_theirs(thing: Any) -> np.ndarray:
    """What the object itself makes of the gradients."""
    matrix = torch.from_numpy(JACOBIAN)
    if isinstance(thing, aggregation.AlignedMTL):
        matrix = matrix.float()
    if isinstance(thing, aggregation.Aggregator):
        return thing(matrix).double().numpy()
    takes_matrix = "Excess" in repr(thing)
    weights = thing(matrix if takes_matrix else matrix @ matrix.T)
    return weights.double().numpy() @ JACOBIAN


@pytest.mark.parametrize("make", OF_GRAMIANS)
def test_things_of_the_gramian(make: Callable[[], Any]) -> None:
    balancer = from_torchjd(make())
    assert isinstance(balancer, GramianBalancer)
    np.testing.assert_allclose(direction_of(balancer, JACOBIAN), of_theirs(make()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", OF_MATRICES)
def test_things_of_the_matrix(make: Callable[[], Any]) -> None:
    balancer = from_torchjd(make())
    assert isinstance(balancer, GradientBalancer)
    np.testing.assert_allclose(direction_of(balancer, JACOBIAN), of_theirs(make()), rtol=1e-9)


def test_settings_of_gramians() -> None:
    balancer = from_torchjd(aggregation.MGDA(), gradients="features", update_every=3)
    assert balancer.needs == "features"
    with pytest.raises(SettingError, match="ConFIG needs the gradients themselves"):
        from_torchjd(aggregation.ConFIG(), update_every=3)


def test_knows_its_objects() -> None:
    class Own(aggregation.Weighting):  # type: ignore[misc, name-defined]
        def forward(self, stat: torch.Tensor, /) -> torch.Tensor:
            return stat.diagonal()

    assert is_torchjd(Own())
    assert is_torchjd(aggregation.ConFIG())
    assert not is_torchjd(torch.nn.Linear(1, 1))
    assert not is_torchjd("mgda")
    np.testing.assert_allclose(
        direction_of(from_torchjd(Own()), JACOBIAN), (JACOBIAN**2).sum(1) @ JACOBIAN, rtol=1e-12
    )


def test_refusals() -> None:
    with pytest.raises(SettingError, match="two batches"):
        from_torchjd(aggregation.MoDoWeighting())
    with pytest.raises(SettingError, match="Linear is neither"):
        from_torchjd(torch.nn.Linear(1, 1))


def test_state() -> None:
    balancer = from_torchjd(aggregation.MGDA())
    from_torchjd(aggregation.MGDA()).load_state_dict(balancer.state_dict())
    for thing in (aggregation.GradVac(), aggregation.ExcessMTLWeighting()):
        with pytest.raises(SettingError, match="remembers earlier steps"):
            from_torchjd(thing).state_dict()


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(adapter.importlib, "import_module", missing)
    with pytest.raises(MissingPackageError, match="pip install torchjd"):
        from_torchjd(object())
