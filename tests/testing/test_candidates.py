"""The suite passes what keeps the contract and names what breaks it; built-in ones: tests/candidates."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from polytask.candidates import Candidate, MultiOutput, PerTask, Pooled
from polytask.candidates.base import ConstantModel
from polytask.testing import check_candidate
from polytask.testing.problems import KINDS, all_problems, own_rows, wide


def test_problems_are_of_every_kind_and_form() -> None:
    problems = dict(all_problems())
    assert {t.kind for data in problems.values() for t in data.tasks} == set(KINDS)
    assert {data.form for data in problems.values()} == {"wide", "dict"}
    lengths = {len(r) for r in problems["regression, one table with missing labels"].rows.values()}
    assert lengths == {96}


@pytest.mark.parametrize(
    "candidate",
    [
        PerTask("ridge", Ridge(), [{"alpha": 1.0}, {"alpha": 10.0}]),
        PerTask("logistic", LogisticRegression()),
        Pooled("pooled", lambda task: None if task.is_classification else Ridge()),
        MultiOutput("joint", RandomForestRegressor(10)),
    ],
    ids=lambda c: c.name,
)
def test_sound_candidates_conform(candidate) -> None:
    check_candidate(candidate)


class Linear(Candidate):
    """Least squares per task: what a broken one is made from."""

    name, role = "linear", "single"

    def supports(self, task):
        return task.kind == "regression"

    def settings(self, data, n):
        return [{}]

    def fit(self, data, setting, seed):
        return Model({t: Ridge(1e-3).fit(data.X[data.rows[t]], data.targets[t]) for t in data.task_names})


class Model:
    def __init__(self, models) -> None:
        self.models = models

    def predict_tasks(self, X, rows=None):
        wanted = dict.fromkeys(self.models) if rows is None else rows
        return {t: self.models[t].predict(X if r is None else X[r]) for t, r in wanted.items()}


def test_a_candidate_of_ones_own_conforms() -> None:
    check_candidate(Linear())
    check_candidate(Linear(), own_rows("regression"))


class NoRole(Linear):
    role = "both"


class NoName(Linear):
    name = ""


class NothingAtAll(Linear):
    def supports(self, task):
        return False


class TooMany(Linear):
    def settings(self, data, n):
        return [{}] * (n + 1)


class NotPlain(Linear):
    def settings(self, data, n):
        return [{"alpha": np.float32(1)}]


class Constant(Linear):
    def fit(self, data, setting, seed):
        return ConstantModel(data)


class Random(Linear):
    def fit(self, data, setting, seed):
        model = super().fit(data, setting, seed)
        for m in model.models.values():
            m.intercept_ += 1e-3 * np.random.default_rng().normal()
        return model


class Sharing(Linear):
    def fit(self, data, setting, seed):
        model = super().fit(data, setting, seed)
        mean = np.mean([m.coef_ for m in model.models.values()], axis=0)
        for m in model.models.values():
            m.coef_ = mean
        return model


class Spoiling(Linear):
    def fit(self, data, setting, seed):
        for y in data.targets.values():
            y -= 0.1 * y.mean()
        return super().fit(data, setting, seed)


class Column(Linear):
    def fit(self, data, setting, seed):
        model = super().fit(data, setting, seed)
        for m in model.models.values():
            m.coef_, m.intercept_ = m.coef_[None], np.array([m.intercept_])
        return model


class AllRows(Linear):
    def fit(self, data, setting, seed):
        return AllRowsModel(super().fit(data, setting, seed).models)


class AllRowsModel(Model):
    """Takes the rows in their order in the table."""

    def predict_tasks(self, X, rows=None):
        return super().predict_tasks(X, rows and {t: r if r is None else np.sort(r) for t, r in rows.items()})


class AllTasks(Linear):
    def fit(self, data, setting, seed):
        return AllTasksModel(super().fit(data, setting, seed).models)


class AllTasksModel(Model):
    def predict_tasks(self, X, rows=None):
        return super().predict_tasks(X, dict.fromkeys(self.models) | (rows or {}))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (NoRole, "its role must be 'single' or 'sharing', not 'both'"),
        (NoName, "its name must be a text"),
        (NothingAtAll, "it supports no kind of task"),
        (TooMany, "it gave 3 settings when asked for 2"),
        (NotPlain, "settings must be plain data: .*float32"),
        (Constant, "predicts no better than a constant"),
        (Random, "two fits with one seed must agree on task 't0'"),
        (
            Sharing,
            "its role is 'single', but reversing the other tasks' targets moves the predictions of 't0'",
        ),
        (Spoiling, "the targets of task 't0' must be left as they were|two fits with one seed"),
        (Column, r"predictions of 't0' have the shape \(120, 1\) instead of \(120,\)"),
        (AllRows, "rows 4, 0, 3 of task 't0' must be predicted as among all rows"),
        (AllTasks, r"asked for task 't1' alone, it predicts \['t0', 't1'\]"),
    ],
)
def test_what_is_broken_is_named(broken, message) -> None:
    with pytest.raises(AssertionError, match=rf"Candidate '[\w ]*'.*{message}"):
        check_candidate(broken())


def test_data_that_does_not_suit_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"does not support task \['t0'\]"):
        check_candidate(Linear(), wide("binary"))
    with pytest.raises(AssertionError, match="does not apply"):
        check_candidate(Pooled("pooled", lambda task: Ridge()), wide("regression"))
    with pytest.raises(AssertionError, match=r"does not subclass polytask\.candidates\.Candidate"):
        check_candidate(Ridge())


class NoProbability(Linear):
    def supports(self, task):
        return task.kind == "binary"

    def fit(self, data, setting, seed):
        return Model({t: Ridge(1e-3).fit(data.X[data.rows[t]], 3 * data.targets[t]) for t in data.task_names})


def test_probabilities_are_checked() -> None:
    with pytest.raises(AssertionError, match="predictions of 't0' must be probabilities"):
        check_candidate(NoProbability())
