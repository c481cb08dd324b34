"""What the network estimators have in common: from settings and task data to a trained model."""

from __future__ import annotations

import copy
import inspect
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_random_state

from polytask.balancing import Balancer, Fixed, Uncertainty, get_balancer
from polytask.data import TaskData
from polytask.errors import SettingError
from polytask.sharing import Sharing, get_sharing
from polytask.training import NetworkModel, Training, Widening, thin_start, widen
from polytask.training.splitting import split_validation

SharingSpec = str | Sharing | Callable[..., Sharing]

#: The word for a network that finds its branches while it is trained, see `polytask.training.widen`.
ADAPTIVE = "adaptive"

#: Settings of the loop that the estimators have as parameters of their own.
_OF_TRAINING = ("learning_rate", "weight_decay", "batch_size", "max_epochs", "patience")
_DEFAULTS = Training()


class NetworkEstimator(BaseEstimator, ABC):
    """Settings of a network and of its training, and the fit that they lead to."""

    sharing: SharingSpec
    balancing: str | Balancer
    hidden: Sequence[int]
    task_hidden: Sequence[int]
    dropout: float
    sharing_settings: Mapping[str, Any] | None
    learning_rate: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int
    validation_fraction: float
    training: Training | None
    random_state: Any
    verbose: bool

    def _fit_model(self, data: TaskData, validation: TaskData | None, scale_inputs: bool = True) -> None:
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        if not 0 <= self.validation_fraction < 1:
            raise SettingError(f"validation_fraction must lie in [0, 1), got {self.validation_fraction!r}.")
        if validation is None:
            data, validation = split_validation(data, self.validation_fraction, np.random.default_rng(seed))
        balancer = self._balancer(data)
        common: dict[str, Any] = {"scale_inputs": scale_inputs, "seed": seed}
        if self.sharing == ADAPTIVE:
            start = thin_start(hidden=self.hidden, task_hidden=self.task_hidden, dropout=self.dropout)
            self.model_, self.decisions_ = widen(
                start, data, validation, widening=self._widening(), balancer=balancer,
                settings=self._settings(), **common,
            )  # fmt: skip
        else:
            self.model_ = NetworkModel.fit(
                self._build, data, validation, balancer, self._settings(), **common
            )
        self.balancer_ = balancer
        self.history_ = self.model_.history
        self.n_iter_ = len(self.history_)

    def _settings(self) -> Training:
        here = {name: getattr(self, name) for name in _OF_TRAINING} | {"progress": bool(self.verbose)}
        if self.training is None:
            return Training(**here)
        for name, value in here.items():
            if getattr(self.training, name) not in (getattr(_DEFAULTS, name), value):
                theirs = "verbose" if name == "progress" else name
                raise SettingError(
                    f"{name} in training=… is not used; give {theirs} to the estimator itself."
                )
        return replace(self.training, **here)

    def _widening(self) -> Widening:
        own = dict(self.sharing_settings or {})
        known = [field.name for field in fields(Widening)]
        for name in own:
            if name not in known:
                raise SettingError(
                    f"Sharing '{ADAPTIVE}' has no setting '{name}'; its settings are {', '.join(known)}."
                )
        return Widening(**own)

    def _build(self, n_inputs: int, heads: dict[str, int]) -> Sharing:
        if isinstance(self.sharing, str):
            settings = {
                "hidden": tuple(self.hidden),
                "task_hidden": tuple(self.task_hidden),
                "dropout": self.dropout,
            }
            own = dict(self.sharing_settings or {})
            architecture = get_sharing(self.sharing)
            architecture.check_settings(own)
            return architecture.for_table(n_inputs, heads, **settings, **own)
        defaults = inspect.signature(type(self)).parameters
        for name in ("hidden", "task_hidden", "dropout", "sharing_settings"):
            given = getattr(self, name)
            unused = given is not None and given != defaults[name].default
            self._refuse_unless(name, not unused, "an architecture that is given by name")
        if isinstance(self.sharing, Sharing):
            return copy.deepcopy(self.sharing)
        network = self.sharing(n_inputs, heads)
        if not isinstance(network, Sharing):
            raise SettingError(f"sharing=… returned a {type(network).__name__}; it must return a Sharing.")
        return network

    def _refuse_unless(self, name: str, used: bool, where: str) -> None:
        if not used:
            raise SettingError(
                f"{name} is used by {where} only, not by sharing={self.sharing!r}; leave it out."
            )

    def _balancer(self, data: TaskData) -> Balancer:
        if self.balancing == "fixed":
            return Fixed({task.name: task.weight for task in data.tasks})
        if self.balancing == "uncertainty":
            squared = ("squared_error", "absolute_error", "huber")
            return Uncertainty(
                {t.name: "regression" if t.loss_name in squared else "classification" for t in data.tasks}
            )
        balancer = get_balancer(self.balancing)
        if isinstance(balancer, Fixed):
            unknown = [task for task in balancer.given if task not in data.task_names]
            if unknown:
                raise SettingError(f"Fixed balancing has a weight for '{unknown[0]}', which is no task.")
        # A balancer has a state, which a fit must not leave behind in the user's object.
        return copy.deepcopy(balancer)
