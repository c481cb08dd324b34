"""Regressor and classifier for arrays: scikit-learn's rules to the letter, plus missing labels (NaN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from polytask.balancing import Balancer
from polytask.data import TaskData
from polytask.data.frames import is_missing
from polytask.data.targets import encode
from polytask.errors import DataError
from polytask.networks.base import NetworkEstimator, SharingSpec
from polytask.tasks import Task
from polytask.training import Training

_PARAMETERS = """
    Parameters
    ----------
    sharing : str, Sharing, or callable
        See `MultiTaskNetwork`. Tasks are named "y0", "y1", …
    balancing : str or Balancer
        How the tasks' losses and gradients are combined: a name of `polytask.balancing.BALANCERS`, with the
        method's defaults, or a balancer. Methods that need gradients need a `sharing` that shares parameters.
    hidden : sequence of int
        Widths of the shared layers (of each task's layers where nothing is shared).
    task_hidden : sequence of int
        Widths of further, task-specific layers.
    dropout : float
    sharing_settings : mapping, optional
        Further settings of the architecture.
    learning_rate, weight_decay, batch_size, max_epochs, patience
        See `polytask.training.Training`.
    validation_fraction : float
        Share of the rows that early stopping looks at; 0: none.
    training : Training, optional
        Further settings of the loop.
    random_state : int, RandomState or None
    verbose : bool
"""


class _ArrayNetwork(NetworkEstimator):
    """Fit on arrays."""

    def __init__(
        self,
        *,
        sharing: SharingSpec = "hard",
        balancing: str | Balancer = "equal",
        hidden: Sequence[int] = (64, 64),
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        sharing_settings: Mapping[str, Any] | None = None,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 128,
        max_epochs: int = 200,
        patience: int = 20,
        validation_fraction: float = 0.15,
        training: Training | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.sharing = sharing
        self.balancing = balancing
        self.hidden = hidden
        self.task_hidden = task_hidden
        self.dropout = dropout
        self.sharing_settings = sharing_settings
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.training = training
        self.random_state = random_state
        self.verbose = verbose

    def _fit_columns(self, X: np.ndarray, columns: Sequence[np.ndarray], kinds: Sequence[str]) -> None:
        tasks, rows, targets, weights = [], {}, {}, {}
        for k, (values, kind) in enumerate(zip(columns, kinds)):
            task, known, encoded = encode(Task(f"y{k}", kind), values)
            if not len(known):
                raise DataError(
                    f"Column {k} of y has no labels: all {len(values)} rows are missing; drop it."
                )
            tasks.append(task)
            rows[task.name], targets[task.name] = known, encoded
            weights[task.name] = np.ones(len(known))
        self.tasks_ = tuple(tasks)
        self._fit_model(TaskData(X, tasks, rows, targets, weights), None)

    def _predictions(self, X: Any) -> list[np.ndarray]:
        check_is_fitted(self, "model_")
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return list(self.model_.predict_tasks(X).values())


class MultiTaskRegressor(MultiOutputMixin, RegressorMixin, _ArrayNetwork):
    __doc__ = f"""Multi-task network for several regression targets; a missing target is NaN.
{_PARAMETERS}
    Attributes
    ----------
    model_ : NetworkModel
    history_ : list of dict
        Losses per task and epoch.
    balancer_ : Balancer
        The copy of `balancing` that was used; its `watch` has the records, if one was set.
    n_features_in_ : int
    """

    def fit(self, X: Any, y: Any) -> MultiTaskRegressor:
        """Train on X of shape (n, p) and y of shape (n,) or (n, q) with NaN where a label is missing."""
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        y = check_targets(y, dtype=np.float64)
        _check_lengths(X, y)
        self.flat_ = y.ndim == 1
        table = y.reshape(len(y), -1)
        self._fit_columns(X, list(table.T), ["regression"] * table.shape[1])
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predictions of shape (n,) or (n, q), as y had."""
        columns = self._predictions(X)
        return columns[0] if self.flat_ else np.column_stack(columns)


class MultiTaskClassifier(MultiOutputMixin, ClassifierMixin, _ArrayNetwork):
    __doc__ = f"""Multi-task network for several class labels; a missing label is NaN or None.
{_PARAMETERS}
    Attributes
    ----------
    classes_ : ndarray, or list of ndarray
        Labels, of each column where y has several.
    model_ : NetworkModel
    history_ : list of dict
        Losses per task and epoch.
    balancer_ : Balancer
        The copy of `balancing` that was used; its `watch` has the records, if one was set.
    n_features_in_ : int
    """

    def fit(self, X: Any, y: Any) -> MultiTaskClassifier:
        """Train on X of shape (n, p) and labels y of shape (n,) or (n, q)."""
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        y = check_targets(y, dtype=None)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        _check_lengths(X, y)
        self.flat_ = y.ndim == 1
        columns = [y] if self.flat_ else list(y.T)
        classes = []
        for column in columns:
            known = column[~is_missing(column)]
            check_classification_targets(known)
            classes.append(np.unique(known))
        self._fit_columns(X, columns, ["binary" if len(c) == 2 else "multiclass" for c in classes])
        self.classes_ = classes[0] if self.flat_ else classes
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable labels, of shape (n,) or (n, q)."""
        probabilities = self._probabilities(X)
        labels = [c[p.argmax(axis=1)] for c, p in zip(self._class_list(), probabilities)]
        return labels[0] if self.flat_ else np.column_stack(labels)

    def predict_proba(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Probabilities of shape (n, k) in the order of `classes_`; a list where y has several columns."""
        probabilities = self._probabilities(X)
        return probabilities[0] if self.flat_ else probabilities

    def _probabilities(self, X: Any) -> list[np.ndarray]:
        return [np.column_stack([1 - p, p]) if p.ndim == 1 else p for p in self._predictions(X)]

    def _class_list(self) -> list[np.ndarray]:
        return [np.asarray(self.classes_)] if self.flat_ else list(self.classes_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def check_targets(y: Any, dtype: Any) -> np.ndarray:
    """Targets as an array of one or two dimensions, NaN allowed."""
    if y is None:
        # scikit-learn's words, which its checks look for.
        raise DataError("This estimator requires y to be passed, but the target y is None.")
    return check_array(y, ensure_2d=False, ensure_all_finite="allow-nan", dtype=dtype, input_name="y")


def _check_lengths(X: np.ndarray, y: np.ndarray) -> None:
    if len(X) != len(y):
        raise DataError(f"X has {len(X)} rows but y has {len(y)}.")
