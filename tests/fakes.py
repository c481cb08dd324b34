"""Small problems and made-up candidates, quick enough to run whole comparisons of them."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from polytask import TaskData
from polytask.candidates import Candidate

QUICK = ["ridge", "lasso", "group lasso"]


def wide(n=60, q=3, p=4, seed=0, **extra):
    """Targets that share most of their coefficients, as named pandas frames."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"f{j}" for j in range(p)])
    coef = rng.normal(size=(p, 1)) + 0.3 * rng.normal(size=(p, q))
    Y = pd.DataFrame(X.to_numpy() @ coef + rng.normal(size=(n, q)), columns=[f"t{k}" for k in range(q)])
    return TaskData.from_wide(X, Y, **extra)


def long_frame(sizes=(20, 20, 20), seed=0):
    rng = np.random.default_rng(seed)
    task = np.repeat([f"s{k}" for k in range(len(sizes))], sizes)
    frame = pd.DataFrame(rng.normal(size=(len(task), 3)), columns=list("abc"))
    return frame.assign(school=task, y=frame["a"] + 0.5 * rng.normal(size=len(task)))


def long(sizes=(20, 20, 20), seed=0):
    return TaskData.from_long(long_frame(sizes, seed), task="school", target="y")


class MeanModel:
    """Predicts the training mean of each task, plus an offset on some of them."""

    def __init__(self, data, offset):
        self.mean = {t: float(np.mean(data.targets[t])) for t in data.task_names}
        self.offset = offset

    def predict_tasks(self, X, rows=None):
        wanted = dict.fromkeys(self.mean) if rows is None else rows
        n = {t: X.shape[0] if r is None else len(r) for t, r in wanted.items()}
        return {t: np.full(n[t], self.mean[t] + self.offset.get(t, 0.0)) for t in wanted}


class Fake(Candidate):
    """Means with offsets; it can log its fits to a file, sleep, warn, and be interrupted."""

    def __init__(
        self,
        name,
        role,
        offset=None,
        *,
        log=None,
        interrupt_at=None,
        sleep=0.0,
        warn=None,
        kinds=("regression",),
    ):
        self.name, self.role, self.offset = name, role, offset or {}
        self.log, self.interrupt_at, self.sleep, self.warn, self.kinds = log, interrupt_at, sleep, warn, kinds

    def supports(self, task):
        return task.kind in self.kinds

    def settings(self, data, n):
        return [{}][:n]

    def fit(self, data, setting, seed):
        if self.log is not None:
            with Path(self.log).open("a") as handle:
                handle.write(f"{self.name} {os.getpid()}\n")
            if (
                self.interrupt_at is not None
                and len(Path(self.log).read_text().splitlines()) >= self.interrupt_at
            ):
                raise KeyboardInterrupt
        if self.warn:
            warnings.warn(self.warn, RuntimeWarning, stacklevel=1)
        time.sleep(self.sleep)
        return MeanModel(data, self.offset)


def fakes(**settings):
    """A single-task candidate and a sharing one that is worse on no task."""
    return [Fake("apart", "single", **settings), Fake("together", "sharing", **settings)]


def same_result(one, other):
    """Two comparisons have the same losses, choices and verdicts, to the last bit."""
    assert one.chosen == other.chosen
    assert list(one.losses) == list(other.losses)
    for name in one.losses:
        np.testing.assert_array_equal(one.losses[name], other.losses[name])
    assert [v.to_dict() for v in one.task_verdicts] == [v.to_dict() for v in other.task_verdicts]
    assert one.overall.to_dict() == other.overall.to_dict()
