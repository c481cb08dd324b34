"""The suite passes what keeps the contract and names what breaks it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from polytask.balancing import BALANCERS, Equal, GradientBalancer, LossBalancer, get_balancer
from polytask.testing import check_balancer


@pytest.mark.parametrize("name", BALANCERS)
def test_built_in_balancers_conform(name: str) -> None:
    settings = {"weights": {"a": 1.0, "b": 2.0, "c": 0.5}} if name == "fixed" else {}
    check_balancer(lambda: get_balancer(name, **settings))


class RunningMean(LossBalancer):
    """Weights that depend on losses seen before, with the state to go on from: a sound balancer."""

    name = "running mean"

    def __init__(self) -> None:
        self.mean: dict[str, float] = {}

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        for t, v in zip(tasks, losses.tolist()):
            self.mean[t] = 0.5 * self.mean.get(t, v) + 0.5 * v
        return np.array([1 / self.mean[t] for t in tasks])

    def state_dict(self) -> dict:
        return {"mean": dict(self.mean)}

    def load_state_dict(self, state: dict) -> None:
        self.mean = dict(state["mean"])


class WorstTaskDirection(GradientBalancer):
    """Shared gradient of the worst task, heads' gradients of their own: a sound balancer on gradients."""

    name = "worst"

    def direction(self, tasks: tuple[str, ...], losses: np.ndarray, jacobian: torch.Tensor) -> torch.Tensor:
        return jacobian[int(losses.argmax())]


@pytest.mark.parametrize("make", [RunningMean, WorstTaskDirection])
def test_balancers_with_state_and_with_gradients_conform(make) -> None:
    check_balancer(make)


class Nameless(Equal):
    name = ""


class NeedsTea(Equal):
    needs = "tea"


class Forgetful(RunningMean):
    def state_dict(self) -> dict:
        return {"mean": {}}


class Unreadable(RunningMean):
    def state_dict(self) -> dict:
        return {"mean": random.Random(0)}


class Shallow(RunningMean):
    def __deepcopy__(self, memo: dict) -> Shallow:
        return self


class HeadsForgotten(Equal):
    name = "heads forgotten"

    def backward(self, losses, shared=None, features=None, **_) -> None:
        for p, g in zip(shared, torch.autograd.grad(sum(losses.values()), shared)):
            p.grad = g if p.grad is None else p.grad + g


class Frozen(LossBalancer):
    name = "frozen"

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        return np.zeros(len(tasks))


class Replacing(Equal):
    name = "replacing"

    def backward(self, losses, shared=None, features=None, **_) -> None:
        total = sum(losses.values())
        gradients = torch.autograd.grad(total, shared, retain_graph=True)
        total.backward()
        for p, g in zip(shared, gradients):
            p.grad = g


class Moving(Equal):
    def backward(self, losses, shared=None, features=None, **_) -> None:
        super().backward(losses, shared, features)
        with torch.no_grad():
            for p in shared:
                p.sub_(0.1 * p.grad)


class Careless(Equal):
    def backward(self, losses, shared=None, features=None, **_) -> None:
        sum(losses.values()).backward()


class Unseeded(LossBalancer):
    name = "unseeded"

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        return np.array([random.uniform(1, 2) for _ in tasks])


class NotAlone(Equal):
    def backward(self, losses, shared=None, features=None, **_) -> None:
        (sum(losses.values()) * (float("nan") if len(losses) == 1 else 1.0)).backward()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Nameless, "'Nameless': it has no name"),
        (NeedsTea, "needs must be one of .* it is 'tea'"),
        (HeadsForgotten, r"'heads forgotten': with tasks a, b, c .* 'heads\.a\.weight' got no gradient"),
        (Frozen, "the shared gradient is zero"),
        (NotAlone, "with tasks b in a batch of 6 .* is not finite"),
        (Moving, "backward moved parameters"),
        (Replacing, r"gradients must be added to those that 'encoder\.weight' has"),
        (Careless, "a loss of nan must raise a TrainingError that names its task"),
        (Unseeded, "gradients must be added|two runs with one seed must give the same"),
        (Shallow, "a deep copy and its original must give the same"),
        (Forgetful, "restored by load_state_dict and its original must give the same"),
        (Unreadable, "tensors and plain data only"),
        (object, "does not subclass"),
    ],
)
def test_what_is_broken_is_named(broken, message) -> None:
    with pytest.raises(AssertionError, match=message):
        check_balancer(broken)


def test_an_absent_task_that_gets_a_zero_gradient_is_caught() -> None:
    """Adding 0 · loss of an absent task moves its head under AdamW."""

    class Remembering(Equal):
        heads: tuple = ()

        def backward(self, losses, shared=None, features=None, **_) -> None:
            super().backward(losses, shared, features)
            if len(losses) < 3:
                for p in Remembering.heads:
                    p.grad = torch.zeros_like(p)

    from polytask.testing import balancers

    class Spying(balancers.Problem):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            Remembering.heads = tuple(self.heads.parameters())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(balancers, "Problem", Spying)
        with pytest.raises(AssertionError, match="of an absent task got a gradient"):
            check_balancer(Remembering)
