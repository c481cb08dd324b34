from __future__ import annotations

import numpy as np
import torch

from polytask.balancing.adam import Moments, adam_change


def test_as_torchs_adam_with_tasks_that_come_and_go() -> None:
    rng = np.random.default_rng(0)
    moments: Moments = {}
    ours = dict.fromkeys("abc", 0.0)
    theirs = {t: torch.zeros((), dtype=torch.float64, requires_grad=True) for t in "abc"}
    optimizer = torch.optim.Adam(theirs.values(), lr=0.03)
    for tasks in ("ab", "a", "cb", "abc", "ca", "abc"):
        gradient = rng.normal(size=len(tasks)) * 10 ** rng.uniform(-3, 3, size=len(tasks))
        optimizer.zero_grad(set_to_none=True)
        for task, g, change in zip(tasks, gradient, adam_change(moments, tasks, gradient, 0.03)):
            ours[task] += change
            theirs[task].grad = torch.tensor(g)
        optimizer.step()
        np.testing.assert_allclose([*ours.values()], [v.item() for v in theirs.values()], rtol=1e-10)


def test_a_gradient_of_zero_moves_nothing() -> None:
    np.testing.assert_array_equal(adam_change({}, ("a", "b"), np.zeros(2), 0.1), [0.0, 0.0])
