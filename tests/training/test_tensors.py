from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from polytask.data import TaskData
from polytask.sharing import HardSharing, Sharing, SingleTask, SoftSharing
from polytask.tasks import Task
from polytask.training.losses import LOSS_FUNCTIONS
from polytask.training.tensors import TaskTensors
from polytask.training.units import find_units

from . import problems

PROBLEMS = {
    "mixed, rows": (problems.mixed, "rows"),
    "mixed, pairs": (problems.mixed, "pairs"),
    "complete, rows": (problems.wide, "rows"),
    "own rows": (problems.own_rows, "pairs"),
    "own rows, mixed kinds": (lambda: problems.own_rows(mixed_kinds=True), "pairs"),
}


def tensors_of(data: TaskData, layout: str) -> tuple[TaskTensors, Sharing]:
    torch.manual_seed(0)
    network = HardSharing.for_table(4, {t.name: t.n_outputs for t in data.tasks}, hidden=(5,)).double()
    units = find_units(data)
    return TaskTensors(data, data.X, units, network.columns, layout, dtype=torch.float64), network


def literal_losses(data: TaskData, network: Sharing) -> dict[str, torch.Tensor]:
    """Row by row and label by label: Σ weight · loss / Σ weight."""
    units = find_units(data)
    out = {}
    for task in data.tasks:
        loss = LOSS_FUNCTIONS[str(task.kind), task.loss_name]
        offset = torch.tensor(units[task.name].offset)
        total, weight = torch.zeros((), dtype=torch.float64), 0.0
        rows = zip(data.rows[task.name], data.targets[task.name], data.weights[task.name])
        for row, y, w in rows:
            output = network(torch.tensor(data.X[row : row + 1]))[task.name][0] + offset
            if task.kind == "multiclass" and np.ndim(y) == 0:
                y = np.eye(task.n_outputs)[int(y)]
            encoded = np.atleast_1d(units[task.name].encode(np.asarray(y, dtype=float)))
            if task.kind == "multiclass":
                total = total + w * loss(output, torch.tensor(encoded))[0]
                weight += w
                continue
            for k, label in enumerate(encoded):
                if not np.isnan(label):
                    total = total + w * loss(output[k], torch.tensor(label))
                    weight += w
        out[task.name] = total / weight
    return out


@pytest.mark.parametrize("name", PROBLEMS)
def test_masked_losses_equal_the_loop_over_rows(name: str) -> None:
    make, layout = PROBLEMS[name]
    data = make()
    tensors, network = tensors_of(data, layout)
    numerator, denominator = tensors.sums(network)
    ours = numerator / denominator
    theirs = torch.stack(list(literal_losses(data, network).values()))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    factors = torch.linspace(1, 2, len(ours), dtype=torch.float64)
    parameters = list(network.parameters())
    found = torch.autograd.grad((factors * ours).sum(), parameters)
    expected = torch.autograd.grad((factors * theirs).sum(), parameters)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", PROBLEMS)
def test_sums_over_micro_batches_give_the_global_loss(name: str) -> None:
    make, layout = PROBLEMS[name]
    tensors, network = tensors_of(make(), layout)
    whole = tensors.sums(network)
    parts = [tensors.sums(network, index) for index in torch.randperm(tensors.n_units).split(7)]
    for k in (0, 1):
        torch.testing.assert_close(sum(p[k] for p in parts), whole[k], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_task_without_labels_in_the_batch_has_no_weight(name: str) -> None:
    make, layout = PROBLEMS[name]
    data = make()
    tensors, network = tensors_of(data, layout)
    index = torch.tensor([0])
    _, denominator = tensors.sums(network, index)
    if layout == "pairs":
        assert (denominator > 0).tolist() == [True] + [False] * (len(data.tasks) - 1)
    else:
        assert (denominator > 0).tolist() == [0 in data.rows[t] for t in data.task_names]


@pytest.mark.parametrize("cls", [HardSharing, SingleTask, SoftSharing])
@pytest.mark.parametrize("mixed_kinds", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_blocks_of_labels_are_the_labels(cls: Any, mixed_kinds: bool, weighted: bool) -> None:
    """Padded blocks give the sums and gradients of the labels in them, for every architecture."""
    data = problems.own_rows(mixed_kinds, sizes=(25, 4, 40))
    if weighted:
        rng = np.random.default_rng(0)
        data.weights.update({t: rng.uniform(0.5, 2, size=len(w)) for t, w in data.weights.items()})
    torch.manual_seed(0)
    network = cls.for_table(4, {t.name: t.n_outputs for t in data.tasks}, hidden=(5,)).double()
    tensors = TaskTensors(data, data.X, find_units(data), network.columns, "pairs", dtype=torch.float64)
    index = torch.tensor([[3, 7, 24, -1], [25, 28, -1, -1], [29, 40, 68, 33]])
    parameters = list(network.parameters())
    results = []
    for labels in (index, index[index >= 0]):
        numerator, denominator = tensors.sums(network, labels)
        results.append((numerator, denominator, *torch.autograd.grad(numerator.sum(), parameters)))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-10)
    active = torch.tensor([True, False, True])
    for found, expected in zip(tensors.sums(network, index, active), results[0]):
        torch.testing.assert_close(found[active], expected[active], rtol=0, atol=1e-10)
    everything = tensors.sums(network)
    torch.testing.assert_close(everything, tensors.sums(network, torch.arange(69)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", PROBLEMS)
def test_null_losses_are_those_of_a_network_of_zeros(name: str) -> None:
    make, layout = PROBLEMS[name]
    tensors, network = tensors_of(make(), layout)
    for p in network.parameters():
        p.data.zero_()
    torch.testing.assert_close(tensors.null_sums(), tensors.sums(network), rtol=0, atol=1e-10)


def weighted_loss(task: Task, y: np.ndarray, repeat: np.ndarray) -> torch.Tensor:
    """The loss after each row has been taken `repeat` times."""
    X = np.random.default_rng(1).normal(size=(len(y), 4))
    index = np.repeat(np.arange(len(y)), repeat)
    data = TaskData.from_wide(X[index], {task.name: y[index]}, [task])
    torch.manual_seed(0)
    network = HardSharing.for_table(4, {task.name: data.tasks[0].n_outputs}, hidden=(3,)).double()
    # The base rate of the plain data: it is not what is compared.
    units = find_units(TaskData.from_wide(X, {task.name: y}, [task.with_(class_weight=None)]))
    numerator, denominator = TaskTensors(
        data, data.X, units, network.columns, "rows", dtype=torch.float64
    ).sums(network)
    return numerator / denominator


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("loss", ["log_loss", "focal", "brier"])
def test_class_weights_are_duplicated_rows(kind: str, loss: str) -> None:
    labels = np.array(["no", "yes", "no", "no", "yes", "no"])
    if kind == "multiclass":
        labels = np.array(["no", "yes", "perhaps", "no", "yes", "no"])
    weights = {"yes": 3.0, "perhaps": 2.0} if kind == "multiclass" else {"yes": 3.0}
    repeat = np.array([int(weights.get(label, 1)) for label in labels])
    weighed = weighted_loss(Task("t", kind, loss=loss, class_weight=weights), labels, np.ones(6, dtype=int))
    repeated = weighted_loss(Task("t", kind, loss=loss), labels, repeat)
    torch.testing.assert_close(weighed, repeated, rtol=0, atol=1e-12)


def test_soft_labels_are_shares_of_hard_ones() -> None:
    """A row with P(y=1) = ¼ is a quarter of a one and three quarters of a zero."""
    X = np.random.default_rng(0).normal(size=(8, 4))
    soft = TaskData.from_wide(X, {"t": np.tile([0.25, 0.75], 4)}, [Task("t", "binary", soft=True)])
    tensors, network = tensors_of(soft, "rows")
    output = network(tensors.x)["t"]
    loss = LOSS_FUNCTIONS["binary", "log_loss"]
    share = torch.tensor([0.25, 0.75] * 4, dtype=torch.float64)[:, None]
    ones, zeros = loss(output, torch.ones_like(output)), loss(output, torch.zeros_like(output))
    numerator, denominator = tensors.sums(network)
    torch.testing.assert_close(
        numerator / denominator, (share * ones + (1 - share) * zeros).mean(0), rtol=0, atol=1e-12
    )
