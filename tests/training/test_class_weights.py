from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from polytask.errors import SettingError
from polytask.tasks import Task
from polytask.training.class_weights import row_weights


def test_balanced_is_scikit_learns_rule() -> None:
    y = np.array([0, 0, 0, 1, 1, 0, 0.0])
    binary = Task("t", "binary", class_weight="balanced", classes=(0, 1))
    np.testing.assert_allclose(row_weights(binary, y[:, None])[:, 0], compute_sample_weight("balanced", y))
    codes = np.array([0, 0, 1, 2, 2, 2])
    three = Task("t", "multiclass", class_weight="balanced", classes=("a", "b", "c"))
    np.testing.assert_allclose(
        row_weights(three, np.eye(3)[codes])[:, 0], compute_sample_weight("balanced", codes)
    )


def test_missing_labels_weigh_nothing() -> None:
    y = np.array([[0, np.nan], [1, 1], [np.nan, 0], [1, 1.0]])
    np.testing.assert_array_equal(row_weights(Task("t", "multilabel"), y), ~np.isnan(y))
    balanced = row_weights(Task("t", "multilabel", class_weight="balanced", classes=("a", "b")), y)
    np.testing.assert_allclose(balanced, [[1.5, 0], [0.75, 0.75], [0, 1.5], [0.75, 0.75]])


def test_a_soft_label_has_the_mean_weight_of_its_classes() -> None:
    task = Task("t", "binary", soft=True, classes=(0, 1), class_weight={1: 5.0})
    assert row_weights(task, np.array([[0.25]])) == pytest.approx(0.25 * 5 + 0.75)


@pytest.mark.parametrize(
    ("weight", "message"),
    [("even", "'balanced' or a dict"), ({"x": 1.0}, "names 'x'"), ({"a": -1.0}, "zero or more")],
)
def test_settings_are_checked(weight: object, message: str) -> None:
    task = Task("colour", "binary", classes=("a", "b"), class_weight=weight)
    with pytest.raises(SettingError, match=f"Task 'colour'.*{message}"):
        row_weights(task, np.array([[0.0], [1.0]]))
