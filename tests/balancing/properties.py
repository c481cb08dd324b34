"""Properties that balancing methods claim, by name; each check raises an AssertionError if it does not hold."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from polytask.balancing import LossBalancer

#: Tasks, losses, and losses after the step.
Step = tuple[tuple[str, ...], np.ndarray, np.ndarray]

TASKS = ("a", "b", "c", "d")
#: Who has labels: all tasks at first, then some are missing now and then.
PRESENT = ("abcd", "abcd", "acd", "bd", "abcd", "c", "abd", "abcd", "ac", "abcd", "bcd", "abcd")


def loss_steps(seed: int = 0, present: Sequence[str] = PRESENT) -> list[Step]:
    """Steps with positive losses of different sizes; they fall or rise a little in a step."""
    rng = np.random.default_rng(seed)
    size = dict(zip(TASKS, (0.1, 1.0, 3.0, 20.0)))
    steps = []
    for names in present:
        losses = np.array([size[t] for t in names]) * rng.lognormal(sigma=0.5, size=len(names))
        steps.append((tuple(names), losses, losses * rng.lognormal(-0.05, 0.1, size=len(names))))
    return steps


def weigh(balancer: LossBalancer, steps: Sequence[Step]) -> list[np.ndarray]:
    """The weights of these steps."""
    weights = []
    for tasks, losses, after in steps:
        weights.append(balancer.weights(tasks, losses))
        if balancer.needs == "losses_after_step":
            balancer.observe(tasks, after)
    return weights


def check_permutation_equivariant(make: Callable[[], LossBalancer]) -> None:
    """The order of the tasks does not matter: weights move along with their tasks."""
    steps = loss_steps()
    rng = np.random.default_rng(1)
    orders = [rng.permutation(len(tasks)) for tasks, _, _ in steps]
    shuffled = [
        (tuple(tasks[i] for i in order), losses[order], after[order])
        for (tasks, losses, after), order in zip(steps, orders)
    ]
    for plain, moved, order in zip(weigh(make(), steps), weigh(make(), shuffled), orders):
        np.testing.assert_allclose(moved, plain[order], rtol=1e-12)


def check_identical_tasks_weigh_the_same(make: Callable[[], LossBalancer]) -> None:
    """Tasks with one and the same loss have one and the same weight in every step."""
    steps = [(TASKS, np.full(4, losses[0]), np.full(4, after[0])) for _, losses, after in loss_steps(2)]
    for weights in weigh(make(), steps):
        np.testing.assert_allclose(weights, weights[0], rtol=1e-12)
        assert weights[0] > 0


def check_direction_ignores_the_scale_of_losses(
    make: Callable[[], LossBalancer], *, length_too: bool = False, rtol: float = 1e-11
) -> None:
    """The step is the same when a task's loss is measured in other units.

    ``w_t ∇(c_t L_t)`` must be what ``w_t ∇L_t`` is, up to a common factor unless `length_too`.
    """
    scale = dict(zip(TASKS, (1e-3, 1.0, 40.0, 7e4)))
    steps = loss_steps()
    units = [np.array([scale[t] for t in tasks]) for tasks, _, _ in steps]
    scaled = [(tasks, c * losses, c * after) for (tasks, losses, after), c in zip(steps, units)]
    for plain, other, c in zip(weigh(make(), steps), weigh(make(), scaled), units):
        factor = 1.0 if length_too else (other * c).sum() / plain.sum()
        np.testing.assert_allclose(other * c, factor * plain, rtol=rtol)


def check_absent_tasks_keep_their_state(make: Callable[[], LossBalancer]) -> None:
    """What is remembered of a task does not change while it has no labels."""
    steps = loss_steps()
    balancer = make()
    weigh(balancer, steps)
    before = balancer.state_dict()
    weigh(balancer, loss_steps(3, present=("ac", "ad", "acd")))
    after = balancer.state_dict()
    about_b = [name for name, entry in before.items() if isinstance(entry, dict) and "b" in entry]
    assert about_b, "nothing is remembered of a task"
    assert before != after, "the others' must move"
    for name in about_b:
        assert after[name]["b"] == before[name]["b"], name


def check_resumes_exactly(make: Callable[[], LossBalancer]) -> None:
    """Interrupted after every step, written to JSON or a file of tensors, and resumed: bit-equal weights."""
    steps = loss_steps()
    whole = weigh(make(), steps)
    for through in (_json, _file):
        state = make().state_dict()
        for step, expected in zip(steps, whole):
            resumed = make()
            resumed.load_state_dict(through(state))
            np.testing.assert_array_equal(weigh(resumed, [step])[0], expected)
            state = resumed.state_dict()


def _json(state: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(state))


def _file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
