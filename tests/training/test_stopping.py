from __future__ import annotations

import json

import numpy as np
import pytest

from polytask.errors import SettingError
from polytask.training.schedules import check_schedule, cosine_factor, plateau_factor
from polytask.training.stopping import EarlyStopping, stopping_mode

#: Validation losses of two tasks; task 0 is best at epoch 1, task 1 at epoch 3, their mean at epoch 2.
CURVE = np.array([[8, 90], [4, 80], [5, 60], [9, 50], [9, 60], [9, 70], [9, 70], [9, 70]], dtype=float)
NULL = np.array([10.0, 100.0])


def run(mode: str, patience: int = 2) -> tuple[EarlyStopping, list[np.ndarray], list[bool]]:
    stopping = EarlyStopping(NULL, patience, mode)
    improved, joint = [], []
    for epoch, losses in enumerate(CURVE):
        each, mean = stopping.update(epoch, losses)
        improved.append(each)
        joint.append(mean)
        if stopping.finished:
            break
    return stopping, improved, joint


def test_joint_stops_on_the_mean_of_relative_losses() -> None:
    stopping, _, joint = run("joint")
    assert joint == [True, True, True, False, False]
    assert stopping.joint_epoch == 2
    assert stopping.joint_best == pytest.approx((0.5 + 0.6) / 2)


def test_per_task_stops_each_and_then_all() -> None:
    stopping, improved, _ = run("per_task")
    assert stopping.best_epoch.tolist() == [1, 3]
    assert len(improved) == 6
    assert [e.tolist() for e in improved[:4]] == [[True, True], [True, True], [False, True], [False, True]]
    assert stopping.stopped.all()


def test_a_stopped_task_does_not_come_back() -> None:
    stopping = EarlyStopping(NULL, 1, "per_task")
    stopping.update(0, np.array([5.0, 50.0]))
    stopping.update(1, np.array([6.0, 40.0]))
    assert stopping.stopped.tolist() == [True, False]
    improved, _ = stopping.update(2, np.array([1.0, 30.0]))
    assert improved.tolist() == [False, True]


def test_a_task_without_validation_labels_is_not_judged() -> None:
    stopping = EarlyStopping(np.array([np.nan, 100.0]), 1, "per_task")
    for epoch, loss in enumerate((50.0, 60.0)):
        stopping.update(epoch, np.array([np.nan, loss]))
    assert stopping.finished
    assert stopping.stopped.tolist() == [False, True]


def test_state_goes_there_and_back() -> None:
    stopping, _, _ = run("per_task")
    again = EarlyStopping(NULL, 2, "per_task")
    again.load_state_dict(json.loads(json.dumps(stopping.state_dict())))
    assert again.state_dict() == stopping.state_dict()
    fresh = EarlyStopping(NULL, 2, "joint")
    fresh.load_state_dict(json.loads(json.dumps(fresh.state_dict())))
    assert fresh.update(0, NULL) == (pytest.approx([True, True]), True)


def test_modes() -> None:
    assert stopping_mode("auto", True) == "joint"
    assert stopping_mode("auto", False) == "per_task"
    assert stopping_mode("per_task", True) == "per_task"
    with pytest.raises(SettingError, match="stopping must be one of"):
        stopping_mode("never", True)


def test_schedules() -> None:
    assert cosine_factor(0, 10) == 1.0
    assert cosine_factor(5, 10) == pytest.approx(0.5)
    factors = []
    factor = 1.0
    for stale in (0, 1, 2, 3, 4, 0, 1):
        factor = plateau_factor(stale, 5, factor)
        factors.append(factor)
    assert factors == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]
    with pytest.raises(SettingError, match="schedule"):
        check_schedule("linear")
