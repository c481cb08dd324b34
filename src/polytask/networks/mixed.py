"""The estimator for any mix of tasks, tables and missing labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from polytask.balancing import Balancer
from polytask.data import TaskData, default_preprocessing, frames
from polytask.data.checks import check_same_columns
from polytask.data.long_tables import as_values, long_data, task_column_of
from polytask.data.taskdata import task_labels
from polytask.errors import DataError, SettingError
from polytask.networks.base import NetworkEstimator, SharingSpec
from polytask.networks.scoring import mean_score
from polytask.networks.state import from_state, to_state
from polytask.networks.tables import (
    as_table,
    decided,
    frame_type,
    is_finite_matrix,
    target_columns,
    with_text_names,
)
from polytask.sharing import Sharing
from polytask.tasks import Task
from polytask.training import Training

#: What scikit-learn looks at in arrays; frames have checks of their own.
_ARRAYS: dict[str, Any] = {"accept_sparse": "csr", "dtype": None, "ensure_all_finite": "allow-nan"}


def _classifies(estimator: Any) -> bool:
    check_is_fitted(estimator, "model_")
    return any(task.is_classification for task in estimator.tasks_)


class MultiTaskNetwork(NetworkEstimator):
    """A multi-task network for tables: mixed kinds of tasks, missing labels, tasks with rows of their own.

    Parameters
    ----------
    tasks : sequence of Task, optional
        Overrides what is inferred from the targets.
    task_column : str or int, optional
        Long form: the column of X that says which task a row belongs to; y is then one target.
    sharing : str, Sharing, or callable
        An architecture by name (`polytask.sharing.SHARINGS`: "hard", "single", "soft", "mmoe", …), built from
        `hidden`, `task_hidden`, `dropout` and `sharing_settings`; "adaptive", fully-adaptive feature sharing,
        which finds its branches in training (`polytask.training.widen`); a network of your own (copied for each
        fit); or ``f(number of features, {task: outputs}) -> Sharing``.
    balancing : str or Balancer
        How the tasks' losses and gradients are combined: a name of `polytask.balancing.BALANCERS`, with the
        method's defaults, or a balancer. "fixed" takes `Task.weight`, "uncertainty" its form of each task from
        the task's loss. Methods that need gradients need a `sharing` that shares parameters.
    hidden : sequence of int
        Widths of the shared layers (of each task's layers where nothing is shared).
    task_hidden : sequence of int
        Widths of further, task-specific layers.
    dropout : float
    sharing_settings : mapping, optional
        Further settings of the architecture, such as ``{"strength": 0.01}`` for "soft" or ``{"n_experts": 4}``
        for "mmoe"; each class of `polytask.sharing` says which it has.
    learning_rate, weight_decay, batch_size, max_epochs, patience
        See `polytask.training.Training`.
    validation_fraction : float
        Share of the rows that early stopping looks at; 0: none, all epochs are run.
    preprocessing : "auto", None or transformer
        "auto" fills and encodes where the table needs it, and standardises.
        None: the table is a finite float matrix that is taken as it is.
    training : Training, optional
        Further settings of the loop: schedule, clipping, task sampling, device, checkpoints, log. Its
        learning rate, weight decay, batch size, epochs, patience and progress bar are those given here.
    random_state : int, RandomState or None
    verbose : bool
        Progress bar with the tasks' losses.

    Attributes
    ----------
    tasks_ : tuple of Task
    model_ : NetworkModel
    history_ : list of dict
        Losses per task and epoch.
    decisions_ : list of dict
        With sharing="adaptive": how the branches were found, see `polytask.training.Widened`.
    balancer_ : Balancer
        The copy of `balancing` that was used; its `watch` has the records, if one was set.
    preprocessing_ : transformer or None
    n_features_in_ : int

    Examples
    --------
    >>> from polytask import MultiTaskNetwork
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 5))
    >>> Y = X[:, :2] + 0.1 * rng.normal(size=(100, 2))
    >>> Y[:30, 1] = np.nan
    >>> MultiTaskNetwork(random_state=0).fit(X, Y).predict(X).shape
    (100, 2)
    """

    def __init__(
        self,
        tasks: Sequence[Task] | None = None,
        *,
        task_column: str | int | None = None,
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
        preprocessing: Any = "auto",
        training: Training | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.tasks = tasks
        self.task_column = task_column
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
        self.preprocessing = preprocessing
        self.training = training
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------ fit

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, validation: TaskData | None = None
    ) -> MultiTaskNetwork:
        """Train.

        Parameters
        ----------
        X : table of shape (n, p), or TaskData
            DataFrame, array or sparse matrix.
        y : table of shape (n, q), array of shape (n,), or mapping of task name to array
            NaN or None is a missing label. Not given with a TaskData.
        sample_weight : array of shape (n,), optional
        validation : TaskData, optional
            Instead of a share of the training rows.

        Raises
        ------
        DataError, SettingError, TrainingError
        """
        y = with_text_names(y)
        data = self._task_data(X, y, sample_weight)
        self.frame_type_ = frame_type(X.X if isinstance(X, TaskData) else y)
        self.flat_ = not isinstance(X, TaskData) and not isinstance(y, Mapping) and as_values(y).ndim == 1
        self.tasks_ = data.tasks
        self.form_ = data.form
        self.task_column_ = data.task_column
        self.columns_ = frames.column_names(data.X)
        self.n_features_in_ = int(data.X.shape[1])
        if self.columns_ is not None:
            self.feature_names_in_ = np.array(self.columns_, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self._fit_preprocessing(data.X)
        if validation is not None:
            validation = self._like_training(validation)
        scale_inputs = self.preprocessing_ is None and self.preprocessing is not None
        self._fit_model(data.with_X(self._preprocessed(data.X)), validation, scale_inputs)
        return self

    def _task_data(self, X: Any, y: Any, sample_weight: Any) -> TaskData:
        if isinstance(X, TaskData):
            if (
                y is not None
                or sample_weight is not None
                or self.tasks is not None
                or self.task_column is not None
            ):
                raise SettingError(
                    "A TaskData holds targets, weights and tasks already: give nothing besides it."
                )
            return X
        if y is None:
            raise DataError(
                "This estimator requires y to be passed, but the target y is None (a TaskData needs none)."
            )
        if sample_weight is not None:
            sample_weight = as_values(sample_weight)
            if not np.any(sample_weight):
                raise DataError("sample_weight is zero in all rows; at least one must be positive.")
        X = with_text_names(X)
        if not frames.is_frame(X):
            X = validate_data(self, X, **_ARRAYS, ensure_min_samples=2)
        if self.task_column is None:
            return TaskData.from_wide(X, y, self.tasks, sample_weight=sample_weight)
        return long_data(X, y, self.task_column, self.tasks, sample_weight)

    def _fit_preprocessing(self, X: Any) -> None:
        if self.preprocessing is None:
            self.preprocessing_ = None
        elif isinstance(self.preprocessing, str):
            if self.preprocessing != "auto":
                raise SettingError(
                    f"preprocessing must be 'auto', None or a transformer; got {self.preprocessing!r}."
                )
            self.preprocessing_ = None if is_finite_matrix(X) else default_preprocessing(X).fit(X)
        else:
            self.preprocessing_ = clone(self.preprocessing).fit(X)

    def _preprocessed(self, X: Any) -> Any:
        return X if self.preprocessing_ is None else self.preprocessing_.transform(X)

    def _like_training(self, data: TaskData) -> TaskData:
        data = data.select([task.name for task in self.tasks_])
        for ours, theirs in zip(self.tasks_, data.tasks):
            if (ours.kind, ours.classes) != (theirs.kind, theirs.classes):
                raise DataError(
                    f"Task '{ours.name}': training data have kind {ours.kind!r} and classes {ours.classes}, "
                    f"validation data {theirs.kind!r} and {theirs.classes}; take both from one TaskData."
                )
        return data.with_X(self._preprocessed(self._features(data.X)))

    def _features(self, X: Any) -> Any:
        """The columns that the model was fitted on, checked and in their order."""
        X = with_text_names(X)
        if not frames.is_frame(X):
            wide = self.form_ == "wide"
            X = validate_data(self, X, **_ARRAYS, reset=False) if wide else check_array(X, **_ARRAYS)
        X = frames.check_table(X)
        if frames.column_names(X) is not None and self.task_column_ in (frames.column_names(X) or ()):
            X = frames.drop_columns(X, [str(self.task_column_)])
        elif isinstance(self.task_column, int) and X.shape[1] == self.n_features_in_ + 1:
            X = np.delete(X, self.task_column, axis=1)
        check_same_columns(X, self.columns_, self.n_features_in_, "X", "the training data")
        if self.columns_ is not None and frames.column_names(X) is not None:
            X = frames.select_columns(X, self.columns_)
        return X

    # ------------------------------------------------------------------ predict

    def predict_tasks(
        self, X: Any, rows: Mapping[str, np.ndarray | None] | None = None
    ) -> dict[str, np.ndarray]:
        """Predictions per task as numbers.

        Parameters
        ----------
        X : table of shape (n, p)
        rows : mapping of str to ndarray of int or None, optional
            Task → rows it is asked for (None: all). No mapping: all tasks for all rows.

        Returns
        -------
        dict of str to ndarray
            Regression and counts: means (n,); binary: P(y = second class) (n,); multiclass and multilabel:
            probabilities (n, k).
        """
        check_is_fitted(self, "model_")
        return self.model_.predict_tasks(self._preprocessed(self._features(X)), rows)

    def predict(self, X: Any) -> Any:
        """Predictions in the targets' own units and labels.

        Returns
        -------
        table of shape (n, q), or array of shape (n,)
            One column per task (per label for multilabel tasks), in the frame type that `y` had; a flat array
            where `y` was one, and in long form, where every row is predicted for its own task.
        """
        check_is_fitted(self, "model_")
        if self._own_rows:
            return self._predict_own(X)
        columns: dict[str, np.ndarray] = {}
        for name, values in self.predict_tasks(X).items():
            columns.update(decided(self._task(name), values))
        if self.flat_ and len(columns) == 1:
            return next(iter(columns.values()))
        return as_table(columns, self.frame_type_, X)

    @available_if(_classifies)
    def predict_proba(self, X: Any) -> dict[str, np.ndarray] | np.ndarray:
        """Probabilities of the classification tasks; there where the model has one.

        Returns
        -------
        dict of str to ndarray of shape (n, k)
            Columns in the order of `Task.classes`; P(label) for multilabel tasks. Where `y` was flat, the
            array alone.
        """
        names = [task.name for task in self.tasks_ if task.is_classification]
        found = self.predict_tasks(X, dict.fromkeys(names))
        out = {k: np.column_stack([1 - p, p]) if p.ndim == 1 else p for k, p in found.items()}
        return next(iter(out.values())) if self.flat_ and self.form_ == "wide" else out

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean over tasks of each task's first metric, on the rows that have labels; more is better.

        A metric of which less is better is counted negative.
        """
        check_is_fitted(self, "model_")
        if self._own_rows:
            rows = self._task_rows(X)
            columns = {name: as_values(y)[index] for name, index in rows.items()}
        else:
            rows = None
            columns = target_columns(with_text_names(y), [task.name for task in self.tasks_])
        return mean_score(self.tasks_, columns, self.predict_tasks(X, rows), rows, sample_weight)

    @property
    def _own_rows(self) -> bool:
        """Whether tables given to predict say which task a row belongs to."""
        return self.form_ != "wide"

    def _predict_own(self, X: Any) -> np.ndarray:
        index = self._task_rows(X)
        predictions = self.predict_tasks(X, index)
        labels = {name: next(iter(decided(self._task(name), p).values())) for name, p in predictions.items()}
        kinds = {values.dtype for values in labels.values()}
        out = np.empty(X.shape[0], dtype=kinds.pop() if len(kinds) == 1 else object)
        for name, rows in index.items():
            out[rows] = labels[name]
        return out

    def _task_rows(self, X: Any) -> dict[str, np.ndarray]:
        """The rows of each task, from the task column of a table given to predict."""
        column = self.task_column if self.task_column is not None else self.task_column_
        names = task_labels(task_column_of(X, column))
        known = {task.name for task in self.tasks_}
        unknown = sorted(set(names) - known)
        if unknown:
            n = int(np.isin(names, unknown).sum())
            raise DataError(
                f"{n} rows belong to tasks that were not in the training data, such as '{unknown[0]}'."
            )
        return {name: np.flatnonzero(names == name) for name in dict.fromkeys(names)}

    def _task(self, name: str) -> Task:
        return next(task for task in self.tasks_ if task.name == name)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    # ------------------------------------------------------------------ to and from plain data

    def to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Tensors and data for JSON that `from_state` restores a predicting model from.

        The preprocessing is not among them: where `preprocessing_` is not None it has to be stored apart.
        """
        check_is_fitted(self, "model_")
        return to_state(self)

    @classmethod
    def from_state(
        cls,
        tensors: Mapping[str, np.ndarray],
        config: Mapping[str, Any],
        *,
        preprocessing: Any = None,
        sharing: Sharing | None = None,
    ) -> MultiTaskNetwork:
        """A fitted estimator from what `to_state` returned.

        Parameters
        ----------
        tensors, config
        preprocessing : fitted transformer, optional
            Needed where the model was fitted with one.
        sharing : Sharing, optional
            Needed where the network was not built by name: an untrained one of the same shape.

        Raises
        ------
        SettingError
            When one of them is needed and missing.
        """
        return from_state(cls, tensors, config, preprocessing, sharing)
