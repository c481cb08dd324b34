from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from polytask.errors import DataError
from polytask.evaluation.metrics import nan_scorer
from polytask.networks import MultiTaskClassifier, MultiTaskRegressor


@parametrize_with_checks([MultiTaskRegressor(random_state=0), MultiTaskClassifier(random_state=0)])
def test_scikit_learns_rules(estimator: Any, check: Any) -> None:
    check(estimator)


def regression(n: int = 200, missing: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, targets with holes, and the same targets without."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 5))
    Y = X[:, :3] @ rng.normal(size=(3, 3)) * [1, 10, 100] + [0, 5, -500]
    holes = np.where(rng.random(Y.shape) < missing, np.nan, Y)
    return X, holes, Y


@pytest.mark.parametrize("sharing", ["hard", "soft", "single"])
def test_missing_targets_are_learned_from_the_rest(sharing: str) -> None:
    X, holes, Y = regression()
    model = MultiTaskRegressor(sharing=sharing, random_state=0).fit(X, holes)
    assert model.score(X[np.isnan(holes).any(axis=1)], Y[np.isnan(holes).any(axis=1)]) > 0.9


def test_seeds_are_reproducible() -> None:
    X, holes, _ = regression()
    first, again, other = (
        MultiTaskRegressor(random_state=s, max_epochs=5).fit(X, holes).predict(X) for s in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pipeline_search_and_clone() -> None:
    X, holes, Y = regression()
    pipe = make_pipeline(StandardScaler(), MultiTaskRegressor(random_state=0, max_epochs=10))
    pipe.set_output(transform="default")
    search = GridSearchCV(
        pipe,
        {"multitaskregressor__hidden": [(4,), (32, 32)], "multitaskregressor__learning_rate": [1e-2]},
        cv=2,
        scoring=nan_scorer(),
    ).fit(X, holes)
    assert search.best_params_["multitaskregressor__hidden"] == (32, 32)
    assert clone(search.best_estimator_).get_params()["multitaskregressor__hidden"] == (32, 32)
    assert cross_val_score(MultiTaskRegressor(random_state=0, max_epochs=40), X, Y, cv=2).min() > 0.5


def test_a_column_without_labels_is_named() -> None:
    X, holes, _ = regression(30)
    holes[:, 1] = np.nan
    with pytest.raises(DataError, match="Column 1 of y has no labels"):
        MultiTaskRegressor().fit(X, holes)
    with pytest.raises(DataError, match="X has 30 rows but y has 29"):
        MultiTaskRegressor().fit(X, holes[:29])


def test_several_classifications() -> None:
    X, y = make_blobs(300, centers=4, random_state=0, n_features=3)
    Y = np.column_stack(
        [np.array(["north", "east", "south", "west"])[y], np.where(y > 1, "big", "small")]
    ).astype(object)
    Y[::5, 0] = None
    model = MultiTaskClassifier(random_state=0).fit(X, Y)
    assert [c.tolist() for c in model.classes_] == [["east", "north", "south", "west"], ["big", "small"]]
    known = np.arange(300) % 5 != 0
    assert (model.predict(X)[known] == Y[known]).mean() > 0.9
    four, two = model.predict_proba(X)
    assert (four.shape, two.shape) == ((300, 4), (300, 2))
    np.testing.assert_allclose(four.sum(axis=1), 1)
    assert np.array_equal(model.classes_[1][two.argmax(axis=1)], model.predict(X)[:, 1])


def test_fit_leaves_settings_alone() -> None:
    X, holes, _ = regression(60)
    model = MultiTaskRegressor(max_epochs=2, random_state=0)
    before = copy.deepcopy(model.get_params())
    model.fit(X, holes)
    assert model.get_params() == before
    assert model.n_iter_ == len(model.history_) == 2
