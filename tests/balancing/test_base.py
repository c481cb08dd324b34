from __future__ import annotations

import numpy as np
import pytest
import torch

from polytask.balancing import BALANCERS, Balancer, Equal, Fixed, LossBalancer, TaskLosses, get_balancer
from polytask.balancing.base import NEEDS
from polytask.errors import SettingError, TrainingError


def losses(w: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"a": (w**2).sum(), "b": (3 * w).sum(), "c": w.prod()}


def test_a_balancer_in_a_loop_of_ones_own() -> None:
    w = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    Equal().backward(losses(w))
    torch.testing.assert_close(w.grad, (2 * w + 3 + w.prod() / w).detach() / 3)


def test_weights_are_those_of_the_losses_of_the_step() -> None:
    """Whatever the order of the tasks, and all parameters get the weighted gradient."""

    class Squares(LossBalancer):
        name = "squares"

        def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
            return 2 * losses

    w = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    balancer = Squares()
    balancer.backward(dict(reversed(losses(w).items())))
    (expected,) = torch.autograd.grad(torch.stack([*losses(w).values()]).square().sum(), w)
    torch.testing.assert_close(w.grad, expected)
    assert balancer.last["tasks"] == ("c", "b", "a")
    np.testing.assert_array_equal(balancer.last["losses"], [2.0, 9.0, 5.0])
    np.testing.assert_array_equal(balancer.last["weights"], [4.0, 18.0, 10.0])


def test_a_weight_that_is_not_finite_is_named_before_anything_moves() -> None:
    class Broken(LossBalancer):
        name = "broken"

        def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
            return np.array([1.0, np.nan, 1.0])

    w = torch.ones(2, requires_grad=True)
    with pytest.raises(TrainingError, match="'broken' gave a weight that is not finite: 'b'"):
        Broken().backward(losses(w))
    assert w.grad is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_is_named_before_anything_moves(bad: float) -> None:
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(TrainingError, match=r"1 of 2 tasks: 'price'.*No step was taken"):
        Equal().backward({"size": w.sum(), "price": w.sum() * bad})
    assert w.grad is None


def test_infinities_of_both_signs_do_not_cancel() -> None:
    w = torch.ones(1, requires_grad=True)
    with pytest.raises(TrainingError, match="2 of 2 tasks"):
        Equal().backward({"a": w.sum() * float("inf"), "b": w.sum() * float("-inf")})


def test_losses_must_be_scalars_and_there() -> None:
    with pytest.raises(SettingError, match=r"task 'a' must be a scalar tensor, got \(2,\)"):
        Equal().backward({"a": torch.ones(2)})
    with pytest.raises(SettingError, match="'a' must be a scalar tensor, got float"):
        Equal().backward({"a": 1.0})
    with pytest.raises(SettingError, match="No losses"):
        Equal().backward({})


def test_task_losses_are_a_mapping() -> None:
    both = TaskLosses(("a", "b"), torch.tensor([1.0, 2.0]))
    assert dict(both) == {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}
    assert len(both) == 2
    with pytest.raises(KeyError):
        both["c"]
    assert TaskLosses.of(both) is both


def test_what_is_needed_is_asked_for() -> None:
    class Gradients(LossBalancer):
        name, needs = "gradients", "gradients"

        def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
            return np.ones(len(tasks))

    class Features(Gradients):
        needs = "features"

    w = torch.ones(2, requires_grad=True)
    with pytest.raises(SettingError, match="needs the shared parameters"):
        Gradients().backward(losses(w))
    with pytest.raises(SettingError, match="needs the representation"):
        Features().backward(losses(w))
    Gradients().backward(losses(w), shared=[w])
    assert w.grad is not None


@pytest.mark.parametrize("make", [Equal, lambda: Fixed({"a": 1.0, "b": 2.0, "c": 0.5})])
def test_state_goes_there_and_back(make: type[Balancer]) -> None:
    balancer, again = make(), make()
    again.load_state_dict(balancer.state_dict())
    assert again.state_dict() == balancer.state_dict() == {"method": balancer.name}
    with pytest.raises(SettingError, match=r"does not know the entries s; it has no state"):
        balancer.load_state_dict({"method": balancer.name, "s": 1})
    with pytest.raises(SettingError, match="cannot go on from the state of 'mgda'"):
        balancer.load_state_dict({"method": "mgda"})
    with pytest.raises(SettingError, match="cannot go on from the state of 'NoneType'"):
        balancer.load_state_dict(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BALANCERS)
def test_registered_methods_say_what_they_need(name: str) -> None:
    assert BALANCERS[name].needs in NEEDS
    assert BALANCERS[name].name == name


def test_balancers_by_name() -> None:
    assert isinstance(get_balancer("equal"), Equal)
    assert get_balancer("fixed", weights={"a": 2.0}).given == {"a": 2.0}
    mine = Equal()
    assert get_balancer(mine) is mine
    with pytest.raises(SettingError, match="unused"):
        get_balancer(mine, weights={})
    with pytest.raises(
        SettingError, match=r"No balancing 'equl'. Did you mean 'equal'\? Known: .*equal.*fixed"
    ):
        get_balancer("equl")
    with pytest.raises(SettingError, match="'equal' has no setting 'tau'; it has none"):
        get_balancer("equal", tau=2)
    with pytest.raises(SettingError, match="'fixed' needs its setting 'weights'"):
        get_balancer("fixed")
