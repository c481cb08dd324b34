from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from polytask.balancing import Equal
from polytask.data import TaskData
from polytask.errors import DataError, SettingError
from polytask.networks import MultiTaskNetwork
from polytask.sharing import HardSharing, SoftSharing, mlp
from polytask.tasks import Task
from polytask.training import TaskSampler, Training

_LEAKAGE = "its target is a copy of a feature, which is refused as leakage"
_REFUSED = {
    "check_dont_overwrite_parameters": _LEAKAGE,
    "check_f_contiguous_array_estimator": _LEAKAGE,
    "check_methods_sample_order_invariance": _LEAKAGE,
    "check_methods_subset_invariance": _LEAKAGE,
    "check_fit2d_1feature": _LEAKAGE,
    "check_dict_unchanged": _LEAKAGE,
    "check_fit2d_predict1d": _LEAKAGE,
    "check_sample_weight_equivalence_on_dense_data": "mini-batches and validation rows are drawn by row",
    "check_sample_weight_equivalence_on_sparse_data": "mini-batches and validation rows are drawn by row",
}


@parametrize_with_checks([MultiTaskNetwork(random_state=0)], expected_failed_checks=lambda _: _REFUSED)
def test_scikit_learns_rules(estimator: Any, check: Any) -> None:
    check(estimator)


N = 400


def features(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"a": rng.normal(size=N), "b": rng.normal(size=N), "c": rng.choice(["x", "y", "z"], N)}
    )
    frame.loc[::7, "b"] = np.nan
    frame.index = range(1000, 1000 + N)
    return frame


def targets(X: pd.DataFrame, seed: int = 0, missing: float = 0.2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    signal = X["a"] + X["b"].fillna(0) + X["c"].map({"x": -1.0, "y": 0.0, "z": 1.0})
    frame = pd.DataFrame(
        {
            "price": 100 + 30 * signal + rng.normal(size=N),
            "sold": np.where(signal + 0.5 * rng.normal(size=N) > 0, "yes", "no"),
            "grade": np.array(["low", "mid", "top"])[np.digitize(signal, [-1, 1])],
            "visits": rng.poisson(np.exp(0.5 * signal)).astype(float),
        },
        index=X.index,
    )
    return frame.mask(rng.random(frame.shape) < missing)


TASKS = [Task("visits", "counts")]


def small(**changes: Any) -> MultiTaskNetwork:
    return MultiTaskNetwork(**{"tasks": TASKS, "random_state": 0, "max_epochs": 60, **changes})


@pytest.mark.parametrize("sharing", ["hard", "soft", "single"])
def test_mixed_kinds_with_missing_labels_and_features_are_learned(sharing: str) -> None:
    X = features()
    model = small(sharing=sharing).fit(X, targets(X))
    X_new = features(1)
    truth = targets(X_new, 1, missing=0.0)
    table = model.predict(X_new)
    assert list(table.columns) == list(truth.columns)
    assert table.index.equals(X_new.index)
    assert np.corrcoef(table["price"], truth["price"])[0, 1] > 0.9
    assert (table["sold"] == truth["sold"]).mean() > 0.75
    assert (table["grade"] == truth["grade"]).mean() > 0.7
    assert np.corrcoef(table["visits"], truth["visits"])[0, 1] > 0.5
    assert model.score(X_new, truth) > 0.6
    probabilities = model.predict_proba(X_new)
    assert {t: p.shape for t, p in probabilities.items()} == {"sold": (N, 2), "grade": (N, 3)}
    np.testing.assert_allclose(probabilities["grade"].sum(axis=1), 1)


def test_the_callers_frame_comes_back() -> None:
    X = features()
    Y = targets(X)[["price", "visits"]]
    pandas = small(max_epochs=3).fit(X, Y).predict(X)
    polars = small(max_epochs=3).fit(pl.from_pandas(X), pl.from_pandas(Y)).predict(pl.from_pandas(X))
    array = (
        small(max_epochs=3, tasks=None).fit(X[["a"]].to_numpy(), Y.to_numpy()).predict(X[["a"]].to_numpy())
    )
    assert isinstance(pandas, pd.DataFrame)
    assert isinstance(polars, pl.DataFrame)
    np.testing.assert_allclose(polars.to_numpy(), pandas.to_numpy())
    assert isinstance(array, np.ndarray)
    assert array.shape == (N, 2)
    flat = small(max_epochs=3, tasks=None).fit(X, Y["price"]).predict(X)
    assert isinstance(flat, np.ndarray)
    assert flat.shape == (N,)


def test_columns_are_taken_by_name() -> None:
    X = features()
    model = small(max_epochs=3).fit(X, targets(X))
    expected = model.predict(X)
    pd.testing.assert_frame_equal(model.predict(X[["c", "b", "a"]].assign(extra=1)), expected)
    with pytest.raises(DataError, match="lacks 1 columns of the training data: 'b'"):
        model.predict(X[["a", "c"]])


def long_table() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=N), "school": rng.integers(1, 6, N), "b": rng.normal(size=N)})
    return X, (X["a"] + X["school"] * X["b"] + 0.1 * rng.normal(size=N)).to_numpy()


@pytest.mark.parametrize("sharing", ["hard", "soft", "single"])
def test_long_form_with_the_task_as_a_column(sharing: str) -> None:
    X, y = long_table()
    model = MultiTaskNetwork(task_column="school", sharing=sharing, random_state=0)
    assert cross_val_score(model, X, y, cv=2).min() > 0.8
    model = clone(model).fit(X, y)
    assert [t.name for t in model.tasks_] == [str(s) for s in dict.fromkeys(X["school"])]
    predicted = model.predict(X)
    own = model.predict_tasks(X, {"3": np.flatnonzero(X["school"] == 3)})["3"]
    np.testing.assert_allclose(predicted[X["school"] == 3], own)
    with pytest.raises(
        DataError, match="2 rows belong to tasks that were not in the training data, such as '9'"
    ):
        model.predict(X.assign(school=np.r_[9, 9, X["school"][2:]]))


def test_long_form_of_arrays_and_task_data() -> None:
    X, y = long_table()
    array = X.to_numpy()
    model = MultiTaskNetwork(task_column=1, random_state=0, max_epochs=40).fit(array, y)
    assert model.predict(array).shape == (N,)
    assert model.score(array, y) > 0.8
    data = TaskData.from_long(X.assign(score=y), "school", "score")
    model = MultiTaskNetwork(random_state=0, max_epochs=40).fit(data)
    assert model.score(X, y) > 0.8
    assert model.predict_tasks(X.drop(columns="school"))["2"].shape == (N,)


def test_task_data_with_validation_and_multilabel() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4))
    tags = np.where(rng.random((N, 3)) < 0.2, np.nan, (X[:, :3] > 0).astype(float))
    data = TaskData.from_wide(X, {"tags": tags, "size": X[:, 3] * 2 + 1 + 0.1 * rng.normal(size=N)})
    train, validation = data.subset(np.arange(300)), data.subset(np.arange(300, N))
    model = MultiTaskNetwork(random_state=0, max_epochs=60).fit(train, validation=validation)
    assert model.model_.history[0]["validation"] is not None
    predicted = model.predict_tasks(X[300:])
    assert predicted["tags"].shape == (100, 3)
    assert (model.predict(X[300:])[:, :3] == (X[300:, :3] > 0)).mean() > 0.9


def test_sparse_features() -> None:
    rng = np.random.default_rng(0)
    X = sp.random(N, 30, density=0.2, format="csr", random_state=0)
    y = X.toarray()[:, :5] @ rng.normal(size=5)
    model = MultiTaskNetwork(random_state=0, max_epochs=60).fit(X, np.column_stack([y, -2 * y + 1]))
    assert model.score(X, np.column_stack([y, -2 * y + 1])) > 0.8


def test_pipeline_and_search() -> None:
    X, y = long_table()
    Y = pd.DataFrame({"u": y, "v": (y > 0).astype(float)}).mask(np.random.default_rng(0).random((N, 2)) < 0.1)
    pipe = make_pipeline(StandardScaler(), small(tasks=None, max_epochs=15)).set_output(transform="pandas")
    search = GridSearchCV(pipe, {"multitasknetwork__sharing": ["hard", "single"]}, cv=2).fit(X, Y)
    assert np.isfinite(search.best_score_)
    assert list(search.predict(X).columns) == ["u", "v"]


@pytest.mark.parametrize("sharing", ["hard", "soft", "single"])
def test_there_and_back_through_plain_data(sharing: str) -> None:
    X = features()
    model = small(sharing=sharing, max_epochs=4, task_hidden=(8,)).fit(X, targets(X))
    tensors, config = model.to_state()
    config = json.loads(json.dumps(config))
    assert all(isinstance(v, np.ndarray) for v in tensors.values())
    with pytest.raises(SettingError, match="fitted with a preprocessing"):
        MultiTaskNetwork.from_state(tensors, config)
    again = MultiTaskNetwork.from_state(tensors, config, preprocessing=model.preprocessing_)
    pd.testing.assert_frame_equal(again.predict(X), model.predict(X))
    assert again.tasks_ == model.tasks_


def test_a_network_of_ones_own() -> None:
    X, y = long_table()
    Y = np.column_stack([y, -y])
    matrix = X[["a", "b"]].to_numpy()

    def build(n_inputs: int, heads: dict[str, int]) -> HardSharing:
        encoder = torch.nn.Sequential(torch.nn.Linear(n_inputs, 16), torch.nn.LayerNorm(16), torch.nn.GELU())
        return HardSharing(heads, encoder, 16)

    for sharing in (build, build(2, {"y0": 1, "y1": 1})):
        model = clone(small(tasks=None, sharing=sharing, max_epochs=5)).fit(matrix, Y)
        tensors, config = model.to_state()
        with pytest.raises(SettingError, match="'hard' is not built in"):
            MultiTaskNetwork.from_state(tensors, config)
        again = MultiTaskNetwork.from_state(tensors, config, sharing=build(2, {"y0": 1, "y1": 1}))
        np.testing.assert_allclose(again.predict(matrix), model.predict(matrix))
    partial_soft = partial(SoftSharing.for_table, strength=0.1, hidden=(8,))
    assert small(tasks=None, sharing=partial_soft, max_epochs=2).fit(matrix, Y).predict(matrix).shape == (
        N,
        2,
    )
    untouched = HardSharing({"y0": 1, "y1": 1}, mlp(2, (4,)), 4)
    before = untouched.encoder[0].weight.detach().clone()
    small(tasks=None, sharing=untouched, max_epochs=2).fit(matrix, Y)
    assert torch.equal(untouched.encoder[0].weight, before)


@pytest.mark.parametrize(
    "sampling",
    [TaskSampler("uniform"), TaskSampler("temperature"), TaskSampler("capped", cap=50), "every_task"],
)
def test_batches_drawn_task_by_task(sampling: Any) -> None:
    X = features()
    model = small(training=Training(sampling=sampling)).fit(X, targets(X))
    assert model.score(X, targets(X)) > 0.6


def test_fixed_balancing_takes_the_tasks_weights() -> None:
    X = features()
    Y = targets(X)
    light = [Task("visits", "counts", weight=1e-6), Task("grade", weight=1e-6), Task("sold", weight=1e-6)]
    fixed = small(tasks=light, balancing="fixed").fit(X, Y)
    assert fixed.history_[-1]["train"]["price"] < 0.3
    equal = small(balancing=Equal(), max_epochs=5).fit(X, Y)
    again = small(balancing="equal", max_epochs=5).fit(X, Y)
    pd.testing.assert_frame_equal(equal.predict(X), again.predict(X))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sharing": "harder"}, "No sharing 'harder'"),
        ({"balancing": "mgdaa"}, "No balancing 'mgdaa'"),
        (
            {"sharing_settings": {"strength": 0.1}},
            "Sharing 'hard' has no setting 'strength'; it has none of its own",
        ),
        (
            {"sharing": "soft", "sharing_settings": {"strenght": 0.1}},
            "Sharing 'soft' has no setting 'strenght'; its settings are strength, distance",
        ),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"preprocessing": "none"}, "preprocessing must be"),
        ({"sharing": lambda n, heads: torch.nn.Linear(n, 1)}, "must return a Sharing"),
        ({"sharing": HardSharing({"y0": 1}, mlp(3, (4,)), 4)}, "has heads"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    X = features()
    with pytest.raises(SettingError, match=message):
        small(**changes).fit(X, targets(X))


def test_a_task_data_is_given_alone() -> None:
    data = TaskData.from_wide(
        np.random.default_rng(0).normal(size=(30, 2)), np.random.default_rng(1).normal(size=(30, 2))
    )
    with pytest.raises(SettingError, match="nothing besides it"):
        MultiTaskNetwork().fit(data, np.zeros(30))
    with pytest.raises(DataError, match="No task 'zzz'"):
        MultiTaskNetwork(max_epochs=1).fit(data).predict_tasks(data.X, {"zzz": None})


def test_settings_that_would_be_ignored_are_errors() -> None:
    X = features()
    own = HardSharing({"price": 1}, mlp(3, (4,)), 4)
    with pytest.raises(SettingError, match="hidden is used by an architecture that is given by name only"):
        small(sharing=own, hidden=(8,)).fit(X, targets(X))
    with pytest.raises(SettingError, match="learning_rate in training=… is not used; give learning_rate to"):
        small(training=Training(learning_rate=1.0)).fit(X, targets(X))
    with pytest.raises(SettingError, match="progress in training=… is not used; give verbose"):
        small(training=Training(progress=True)).fit(X, targets(X))
