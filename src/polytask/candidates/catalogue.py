"""The catalogue of candidates: their names, estimators and the settings they try."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from polytask.candidates.base import Candidate
from polytask.candidates.linear import Linear
from polytask.candidates.multi_output import MultiOutput
from polytask.candidates.networks import Network
from polytask.candidates.per_task import PerTask
from polytask.candidates.pooled import Pooled
from polytask.candidates.task_deviations import TaskDeviations
from polytask.data import frames
from polytask.errors import SettingError
from polytask.linear import LINEAR_MODELS, GroupLasso, MeanRegularized, TaskLasso, TaskRidge
from polytask.tasks import Task

_FOREST: list[dict[str, Any]] = [
    {"max_features": 0.4, "min_samples_leaf": 1},
    {"max_features": 0.4, "min_samples_leaf": 5},
    {"max_features": 1.0, "min_samples_leaf": 2},
    {"max_features": "sqrt", "min_samples_leaf": 1},
]
_BOOSTING: list[dict[str, Any]] = [
    {"learning_rate": 0.05, "max_iter": 150, "max_leaf_nodes": 8, "min_samples_leaf": 10},
    {
        "learning_rate": 0.05,
        "max_iter": 100,
        "max_leaf_nodes": 4,
        "min_samples_leaf": 20,
        "l2_regularization": 5.0,
    },
    {"learning_rate": 0.1, "max_iter": 150, "max_leaf_nodes": 16, "min_samples_leaf": 10},
    {"learning_rate": 0.05, "max_iter": 300, "max_leaf_nodes": 31, "min_samples_leaf": 20},
]
_NETWORK: list[dict[str, Any]] = [
    {"weight_decay": 1e-2},
    {"weight_decay": 1.0, "dropout": 0.1},
    {"weight_decay": 1e-3, "hidden": (128, 128)},
    {"weight_decay": 1e-1, "hidden": (32,)},
]
_PENALTIES: list[dict[str, Any]] = [{"C": c} for c in (0.1, 1.0, 0.01, 10.0)]


def _forest(task: Task) -> BaseEstimator | None:
    if task.is_classification:
        return RandomForestClassifier(n_estimators=100)
    return RandomForestRegressor(n_estimators=100)


def _boosting(task: Task) -> BaseEstimator | None:
    if task.is_classification:
        return HistGradientBoostingClassifier(early_stopping=False)
    return HistGradientBoostingRegressor(
        early_stopping=False, loss="poisson" if task.kind == "counts" else "squared_error"
    )


def _logistic(task: Task) -> BaseEstimator | None:
    return LogisticRegression(max_iter=500) if task.is_classification else None


def _poisson(task: Task) -> BaseEstimator | None:
    return PoissonRegressor(max_iter=500) if task.kind == "counts" else None


def _smooth_deviations(task: Task) -> BaseEstimator | None:
    base = _logistic(task) or _poisson(task)
    return None if base is None else TaskDeviations(base)


def _catalogue() -> dict[str, Candidate]:
    deviations = [
        {"deviation": d, "strength": s} for d, s in ((0.3, 0.1), (0.3, 1.0), (0.1, 0.1), (1.0, 0.1))
    ]
    strengths = (0.1, 1.0, 0.01, 0.1)
    soft = [{**s, "sharing_settings": {"strength": value}} for s, value in zip(_NETWORK, strengths)]
    entries: list[Candidate] = [
        Linear("ridge", "single", TaskRidge, points=None),
        Linear("lasso", "single", TaskLasso),
        Linear("relaxed lasso", "single", partial(TaskLasso, relax=0.0)),
        PerTask("logistic", _logistic, _PENALTIES),
        PerTask("poisson", _poisson, [{"alpha": a} for a in (0.01, 1.0, 0.1, 1e-4)]),
        PerTask("forest", _forest, _FOREST),
        PerTask("boosting", _boosting, _BOOSTING),
        Network("network", "single", "single", _NETWORK),
        Linear("group lasso", "sharing", GroupLasso),
        Linear("relaxed group lasso", "sharing", partial(GroupLasso, relax=0.0)),
        Linear("mean-regularized", "sharing", MeanRegularized, ("alpha", "sharing"), points=None),
        Pooled("mean-regularized logistic", _smooth_deviations, deviations),
        MultiOutput("joint forest", RandomForestRegressor(n_estimators=100), _FOREST),
        Pooled("pooled boosting", _boosting, _BOOSTING),
        Network("hard sharing", "sharing", "hard", _NETWORK),
        Network("soft sharing", "sharing", "soft", soft),
    ]
    return {c.name: c for c in entries}


def default_candidates() -> list[Candidate]:
    """All candidates of the catalogue; those that suit no task of the data are left out by `compare`."""
    return list(_catalogue().values())


def named_candidates(models: Iterable[Any] | None) -> list[Candidate]:
    """Candidates from names, `Candidate`s and (name, estimator) pairs.

    Names are those of the catalogue, of `polytask.linear.LINEAR_MODELS` and of `polytask.sharing.SHARINGS`.

    Raises
    ------
    SettingError
        For an unknown name (with the ones there are) or two candidates of one name.
    """
    if models is None:
        return default_candidates()
    catalogue = _catalogue()
    chosen = [_one(model, catalogue) for model in models]
    _check_names(chosen)
    return chosen


def _one(model: Any, catalogue: dict[str, Candidate]) -> Candidate:
    if isinstance(model, Candidate):
        return model
    if isinstance(model, str):
        return catalogue[model] if model in catalogue else _further(model, catalogue)
    if isinstance(model, tuple) and len(model) == 2 and isinstance(model[0], str):
        return PerTask(model[0], model[1])
    if isinstance(model, BaseEstimator):
        return PerTask(type(model).__name__, model)
    raise SettingError(
        f"A candidate is a name, a (name, scikit-learn estimator) pair or a Candidate; got {model!r}."
    )


def _further(name: str, catalogue: dict[str, Candidate]) -> Candidate:
    """Any other linear model or architecture of networks by its own name."""
    if name in LINEAR_MODELS:
        model = LINEAR_MODELS[name].fixed
        return Linear(name, "single" if model.penalty_per_task else "sharing", model, model.penalties)
    from polytask.sharing import SHARINGS  # loads torch, which the others do without

    architectures = [*SHARINGS, "adaptive"]
    if name not in architectures:
        known = [*catalogue, *LINEAR_MODELS, *architectures]
        raise SettingError(f"No candidate '{name}'.{frames.suggest(name, known)}")
    return Network(name, "single" if name == "single" else "sharing", name, _NETWORK)


def _check_names(chosen: Sequence[Candidate]) -> None:
    names = [c.name for c in chosen]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise SettingError(f"Two candidates are named '{twice.pop()}'; names must be unique.")
