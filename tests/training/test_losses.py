from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor

from polytask.tasks import LOSSES
from polytask.training.losses import HUBER_DELTA, LOSS_FUNCTIONS


def sigmoid(o: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-o))


def softmax(o: np.ndarray) -> np.ndarray:
    e = np.exp(o)
    return e / e.sum(-1, keepdims=True)


def literal_huber(o: np.ndarray, y: np.ndarray) -> np.ndarray:
    r = np.abs(o - y)
    return np.where(r <= HUBER_DELTA, 0.5 * r**2, HUBER_DELTA * (r - 0.5 * HUBER_DELTA))


def literal_focal(o: np.ndarray, y: np.ndarray) -> np.ndarray:
    p = sigmoid(o)
    return -y * (1 - p) ** 2 * np.log(p) - (1 - y) * p**2 * np.log(1 - p)


LITERAL = {
    "squared_error": lambda o, y: (o - y) ** 2,
    "absolute_error": lambda o, y: np.abs(o - y),
    "huber": literal_huber,
    "log_loss": lambda o, y: -y * np.log(sigmoid(o)) - (1 - y) * np.log(1 - sigmoid(o)),
    "focal": literal_focal,
    "brier": lambda o, y: (sigmoid(o) - y) ** 2,
    "poisson": lambda o, y: np.exp(o) - y * o - np.where(y > 0, y - y * np.log(np.maximum(y, 1)), 0.0),
}
MULTICLASS = {
    "log_loss": lambda o, y: -(y * np.log(softmax(o))).sum(-1, keepdims=True),
    "focal": lambda o, y: -(y * (1 - softmax(o)) ** 2 * np.log(softmax(o))).sum(-1, keepdims=True),
    "brier": lambda o, y: ((softmax(o) - y) ** 2).sum(-1, keepdims=True),
}


def literal(kind: str, name: str):
    if kind == "multiclass":
        return MULTICLASS[name]
    if kind == "counts" and name == "squared_error":
        return lambda o, y: (np.exp(o) - y) ** 2
    return LITERAL[name]


def example(kind: str) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    output = rng.normal(size=(6, 3)) * 2
    if kind == "regression":
        target = rng.normal(size=(6, 3))
    elif kind == "counts":
        target = rng.poisson(2.0, size=(6, 3)).astype(float)
    elif kind == "multiclass":
        target = np.vstack([np.eye(3), rng.dirichlet(np.ones(3), size=3)])
    else:
        target = np.vstack([rng.integers(0, 2, size=(3, 3)), rng.uniform(size=(3, 3))])
    return torch.tensor(output), torch.tensor(target)


@pytest.mark.parametrize(("kind", "name"), LOSS_FUNCTIONS)
def test_value_and_gradient(kind: str, name: str) -> None:
    output, target = example(kind)
    loss = LOSS_FUNCTIONS[kind, name]
    expected = torch.tensor(literal(kind, name)(output.numpy(), target.numpy()))
    torch.testing.assert_close(loss(output, target), expected, rtol=1e-10, atol=1e-10)
    assert torch.autograd.gradcheck(lambda o: loss(o, target), output.requires_grad_())


def test_every_loss_that_a_task_can_name_exists() -> None:
    assert set(LOSS_FUNCTIONS) == {(kind, name) for kind, names in LOSSES.items() for name in names}


def test_against_scikit_learn() -> None:
    output, target = example("multiclass")
    mean = LOSS_FUNCTIONS["multiclass", "log_loss"](output[:3], target[:3]).mean()
    labels = target[:3].argmax(1).numpy()
    assert float(mean) == pytest.approx(
        metrics.log_loss(labels, softmax(output[:3].numpy()), labels=[0, 1, 2])
    )
    output, target = example("counts")
    poisson = LOSS_FUNCTIONS["counts", "poisson"]
    deviance = metrics.mean_poisson_deviance(target.flatten().numpy(), np.exp(output.flatten().numpy()))
    assert float(2 * poisson(output, target).mean()) == pytest.approx(deviance)


@pytest.mark.parametrize("name", ["log_loss", "focal", "brier"])
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_extreme_outputs_stay_finite(kind: str, name: str) -> None:
    output = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = LOSS_FUNCTIONS[kind, name](output, torch.tensor([[0.0, 1.0]])).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(output.grad).all()
