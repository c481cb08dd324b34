"""The facts behind a verdict, against the same facts computed another way."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from fakes import QUICK, Fake, fakes, long, wide
from polytask import TaskData, compare
from polytask.explain import THINNED, _refit_seconds, _thin, curves, explain, similarity, sparsity, thinning

SMALL = {"folds": 3, "repeats": 1, "inner_folds": 2}


def test_tasks_with_opposite_and_unrelated_coefficients():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    noise = 0.1 * rng.normal(size=(400, 4))
    Y = np.column_stack([X[:, 0], 5 * X[:, 0] + 2, -X[:, 0], X[:, 1]]) + noise
    names, matrix = similarity(TaskData.from_wide(X, Y))
    assert names == ["y0", "y1", "y2", "y3"]
    expected = [[1, 1, -1, 0], [1, 1, -1, 0], [-1, -1, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(matrix, expected, atol=0.1)


def test_similarity_is_the_cosine_of_ridge_coefficients():
    data = wide(300)
    X = StandardScaler().fit_transform(data.X)
    Y = StandardScaler().fit_transform(data.wide_targets())
    coef = np.array([RidgeCV(np.logspace(-4, 1, 20)).fit(X, y).coef_ for y in Y.T])
    unit = coef / np.linalg.norm(coef, axis=1, keepdims=True)
    np.testing.assert_allclose(similarity(data)[1], unit @ unit.T, atol=0.02)


def test_noise_is_the_better_sides_part_of_the_constant_models_loss():
    comparison = compare(wide(), models=QUICK, **SMALL)
    facts = explain(comparison)["tasks"]
    for v in comparison.task_verdicts:
        assert facts[v.task]["noise"] == pytest.approx(min(v.loss_single, v.loss_sharing) / v.loss_null)
        assert 0 < facts[v.task]["noise"] < 1.2
        assert facts[v.task]["labels"] == 60


# ---------------------------------------------------------------------- thinning


def test_thinned_gains_are_those_of_models_fitted_on_fewer_rows():
    """Fakes whose offset is in standard deviations: the gain at a fraction is known from the rows kept."""
    data = wide()
    comparison = compare(
        data, models=[Fake("apart", "single", {"t0": 1.0}), Fake("together", "sharing")], **SMALL
    )
    points = thinning(comparison)
    assert [p["fraction"] for p in points] == [*THINNED, 1.0]
    single, sharing = np.full((60, 3), np.nan), np.full((60, 3), np.nan)
    for f, (train, test) in enumerate(comparison.plan.folds[0]):
        kept = _thin(data, train, 0.5, f)
        assert len(kept) == 20
        for k, t in enumerate(data.task_names):
            y, past = data.targets[t][test], data.targets[t][kept]
            sharing[test, k] = (y - past.mean()) ** 2
            single[test, k] = (y - past.mean() - (t == "t0") * past.std()) ** 2
    relative = (single - sharing).mean(axis=0) / single.mean(axis=0)
    assert points[1]["gain_percent"] == pytest.approx(100 * relative.mean())
    assert points[2]["gain_percent"] == comparison.overall.gain_percent


@pytest.mark.parametrize(
    "data", [wide(time=np.random.default_rng(0).permutation(60)), wide(), long((30, 20, 10))]
)
def test_thinned_rows_are_training_rows_with_every_task_among_them(data):
    train = np.arange(5, 55) if data.time is None else np.flatnonzero(data.time < 50)
    kept = _thin(data, train, 0.25, 0)
    assert set(kept) <= set(train)
    assert (np.diff(kept) > 0).all()
    for t in data.task_names:
        assert np.isin(data.rows[t], kept).sum() >= 2
    if data.time is not None:
        assert data.time[kept].min() > data.time[np.setdiff1d(train, kept)].max()


def test_thinning_keeps_to_what_the_budget_left():
    comparison = compare(wide(), models=fakes(), **SMALL)
    needed = _refit_seconds(comparison)
    assert needed > 0
    for left, points in ((needed / 2, 0), (needed * 2, 3)):
        comparison.run = {**comparison.run, "budget": 100.0, "seconds": 100.0 - left}
        assert len(thinning(comparison)) == points
    comparison.run = {**comparison.run, "budget": None, "seconds": 1e6}
    assert len(thinning(comparison)) == 3


def test_slow_models_are_not_thinned(monkeypatch):
    comparison = compare(wide(), models=fakes(), **SMALL)
    monkeypatch.setattr("polytask.explain.THINNING_SECONDS", 0.0)
    assert thinning(comparison) == []


def test_only_chosen_candidates_count_as_refits():
    units = [
        SimpleNamespace(repeat=r, fold=0, candidate=c, seconds=9.0, settings_tried=1)
        for r in (0, 1)
        for c in "abc"
    ]
    chosen = {(r, 0): {"single": {"t": "a"}, "sharing": {"t": "b"}} for r in (0, 1)}
    fake = SimpleNamespace(plan=SimpleNamespace(inner_folds=2), units=units, chosen=chosen)
    assert _refit_seconds(fake) == pytest.approx(2 * 9.0 / 3 * sum(THINNED))


# ---------------------------------------------------------------------- coefficients and curves


def test_sparse_coefficients_have_the_names_of_their_columns():
    data = wide()
    X = data.X.assign(city=np.tile(["Rome", "Oslo", None], 20), count=np.arange(60) % 7)
    X.loc[3, "f1"] = np.nan
    comparison = compare(
        TaskData.from_wide(X, dict(zip(data.task_names, data.wide_targets().T))), models=QUICK, **SMALL
    )
    lasso, group = sparsity(comparison)
    assert (lasso["model"], lasso["role"], group["model"], group["role"]) == (
        "lasso",
        "single",
        "group lasso",
        "sharing",
    )
    names = ["f0", "f1", "f2", "f3", "count", "f1 missing", "city=(missing)", "city=Oslo", "city=Rome"]
    assert lasso["features"] == group["features"] == names
    assert np.shape(group["coef"]) == (3, 9)
    used = np.array(group["coef"]) != 0
    assert (used == used[0]).all()  # a feature is in for all tasks or for none


def test_a_preprocessing_without_names_gets_numbers():
    data = wide()
    comparison = compare(
        data, models=QUICK, preprocessing=FunctionTransformer(lambda X: np.asarray(X)[:, :2]), **SMALL
    )
    assert sparsity(comparison)[0]["features"] == ["x0", "x1"]


def test_curves_are_the_networks_histories_of_the_first_fold():
    from polytask.candidates.networks import Network

    setting = [{"max_epochs": 3, "hidden": (4,)}]
    models = ["ridge", Network("joint", "sharing", "hard", setting)]
    (curve,) = curves(compare(wide(), models=models, folds=2, repeats=1, inner_folds=1))
    assert curve["model"] == "joint"
    assert [h["epoch"] for h in curve["history"]]


def test_classes_and_gaps_do_not_stop_an_explanation():
    data = wide()
    Y = pd.DataFrame(data.wide_targets(), columns=data.task_names)
    Y["sick"] = np.where(Y["t0"] > 0, "yes", "no")
    Y.loc[:20, "t1"] = np.nan
    names, matrix = similarity(TaskData.from_wide(data.X, Y))
    assert names == ["t0", "t1", "t2", "sick"]
    assert np.isfinite(matrix).all()
    assert matrix[0][3] > 0.7
