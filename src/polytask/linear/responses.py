"""From linear predictors to what the tasks are measured in, and the score of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import ClassifierTags, RegressorTags, Tags

from polytask.data import frames
from polytask.data.long_tables import as_values, flat_target
from polytask.data.targets import check_finite, parse_numbers
from polytask.errors import DataError
from polytask.linear.losses.kinds import KINDS
from polytask.linear.table import default_task_names

if TYPE_CHECKING:
    from polytask.linear.base import LinearTaskModel


def labels_of(
    loss: str,
    decision: np.ndarray,
    classes: Sequence[np.ndarray] | None,
    row_task: np.ndarray | None = None,
) -> np.ndarray:
    """Values, labels of classes or expected counts of linear predictors.

    Parameters
    ----------
    loss : {"squared", "logistic", "poisson"}
    decision : (n, q) array, or (n,) of each row's own task
    classes : q arrays (2,), or None
    row_task : (n,) int array or None
        The tasks of rows that are predicted for their own task alone.
    """
    if loss != "logistic" or classes is None:
        return KINDS[loss].mean(decision)
    # Side by side in one type of array, numbers would turn into text.
    alike = len({names.dtype.kind for names in classes}) == 1
    table = np.stack([names if alike else names.astype(object) for names in classes])
    tasks = np.arange(len(table)) if row_task is None else row_task
    return table[tasks, (decision > 0).astype(int)]


def rows_to_predict(rows: Any, n_rows: int, name: str) -> np.ndarray:
    """Row indices of a task, all for None; refuses rows that are not there."""
    if rows is None:
        return np.arange(n_rows)
    index = np.asarray(rows)
    if index.dtype == bool and index.shape == (n_rows,):
        return np.flatnonzero(index)
    if index.size == 0:
        return np.empty(0, dtype=np.int64)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise DataError(f"Task '{name}': rows must be a list of row indices, got {rows!r}.")
    if index.min() < -n_rows or index.max() >= n_rows:
        bad = index.min() if index.min() < -n_rows else index.max()
        raise DataError(f"Task '{name}': there is no row {bad} among {n_rows}.")
    return index


def tags_for(tags: Tags, loss: str) -> Tags:
    """scikit-learn's tags of a model with this loss."""
    tags.target_tags.multi_output = True
    tags.target_tags.required = True
    tags.input_tags.sparse = True
    if loss == "logistic":
        tags.estimator_type, tags.classifier_tags = (
            "classifier",
            ClassifierTags(multi_class=False, multi_label=True),
        )
    else:
        tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        tags.target_tags.positive_only = loss == "poisson"
    return tags


def mean_score(model: LinearTaskModel, X: Any, y: Any, sample_weight: Any) -> float:
    """Mean over tasks of R², accuracy or explained deviance on the labels that are present."""
    decision, row_task = model._decisions(X)
    weight = _score_weight(sample_weight, len(decision))
    if row_task is None:
        columns = _columns_in_order(y, model.task_names_, len(decision))
        rows = [~frames.is_missing(truth) for truth in columns]
        parts = [(t, truth[k], decision[k, t], weight[k]) for t, (truth, k) in enumerate(zip(columns, rows))]
    else:
        truth = flat_target(y, len(decision))
        known = ~frames.is_missing(truth)
        rows = [known & (row_task == t) for t in range(len(model.task_names_))]
        parts = [(t, truth[k], decision[k], weight[k]) for t, k in enumerate(rows)]
    classes = model._task_classes
    scores = [
        _score(model.loss, _checked_labels(model, t, truth), z, w, classes[t] if classes else None)
        for t, truth, z, w in parts
        if w.sum() > 0
    ]
    if not scores:
        raise DataError(
            f"No label with a positive weight among {len(decision)} rows: there is nothing to score."
        )
    return float(np.mean(scores))


def _score_weight(sample_weight: Any, n_rows: int) -> np.ndarray:
    """(n,) weights, as fit checks them."""
    if sample_weight is None:
        return np.ones(n_rows)
    weight, bad = parse_numbers(as_values(sample_weight))
    if weight.shape != (n_rows,):
        raise DataError(
            f"sample_weight must hold one number for each of {n_rows} rows, got shape {weight.shape}."
        )
    if bad.any() or not np.isfinite(weight).all() or (weight < 0).any():
        raise DataError("sample_weight must hold finite numbers of zero or more.")
    return weight


def _checked_labels(model: LinearTaskModel, t: int, truth: np.ndarray) -> np.ndarray:
    """The labels of a task: of its classes, or numbers that its loss takes."""
    name = model.task_names_[t]
    if model.loss == "logistic" and model._task_classes:
        known = model._task_classes[t].tolist()
        other = [label for label in dict.fromkeys(truth.tolist()) if label not in known]
        if other:
            raise DataError(
                f"Task '{name}' has the label {other[0]!r} in y, but was fitted on the classes "
                f"{', '.join(map(repr, known))}."
            )
        return truth
    numbers, bad = parse_numbers(truth)
    if bad.any():
        raise DataError(f"Task '{name}' has {truth[bad][0]!r} in y, which is not a number.")
    check_finite(numbers, name)
    if model.loss == "poisson" and numbers.min() < 0:
        raise DataError(
            f"Task '{name}' has the label {numbers.min():g}, but loss='poisson' needs counts of zero or more."
        )
    return numbers


def _score(loss: str, y: np.ndarray, z: np.ndarray, weight: np.ndarray, classes: np.ndarray | None) -> float:
    if loss == "logistic":
        assert classes is not None
        return float(np.average(classes[(z > 0).astype(int)] == y, weights=weight))
    kind = KINDS[loss]
    null = kind.link(np.full_like(y, np.average(y, weights=weight)))
    least = kind.least(y)
    left, whole = weight @ (kind.value(y, z) - least), weight @ (kind.value(y, null) - least)
    if whole <= 1e-15 * max(1.0, float(weight @ np.abs(least))):
        return 1.0 if left <= 1e-15 else 0.0
    return float(1.0 - left / whole)


def _columns_in_order(y: Any, names: Sequence[str], n_rows: int) -> list[np.ndarray]:
    """The targets (n,) in the order of the fitted tasks; frames are read by column name."""
    columns = frames.column_names(y)
    if columns is None and isinstance(getattr(y, "name", None), str) and y.name:
        columns = [y.name]
    unnamed = len(names) == 1 and tuple(names) == default_task_names(1)
    if columns is not None and not (unnamed and len(columns) == 1):
        lacking = [name for name in names if name not in columns]
        extra = [name for name in columns if name not in names]
        if lacking or extra:
            what = f"lacks the task '{lacking[0]}'" if lacking else f"has the unknown task '{extra[0]}'"
            raise DataError(f"y {what}; the model was fitted on {', '.join(names)}.")
        if len(as_values(y)) != n_rows:
            raise DataError(f"y has {len(as_values(y))} rows, but X has {n_rows}.")
        if frames.is_frame(y):
            return [frames.column(y, name) for name in names]
    table = as_values(y)
    table = table.reshape(len(table), -1)
    if table.shape != (n_rows, len(names)):
        raise DataError(f"y has shape {table.shape}, but {n_rows} rows of {len(names)} tasks are expected.")
    return list(table.T)
