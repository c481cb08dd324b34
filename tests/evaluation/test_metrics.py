import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from polytask import Task, TaskData
from polytask.evaluation.metrics import nan_scorer, score, score_data
from polytask.linear import GroupLasso
from polytask.tasks import METRICS

rng = np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass", "multilabel", "counts"])
def test_every_metric_of_every_kind_is_finite(kind):
    y, p = {
        "regression": (rng.normal(size=30), rng.normal(size=30)),
        "binary": (np.arange(30) % 2.0, rng.random(30)),
        "multiclass": (np.arange(30) % 3, rng.dirichlet(np.ones(3), 30)),
        "multilabel": ((rng.random((30, 2)) > 0.5).astype(float), rng.random((30, 2))),
        "counts": (rng.poisson(2, 30).astype(float), rng.uniform(1, 3, 30)),
    }[kind]
    classes = {"multiclass": (0, 1, 2), "multilabel": (0, 1)}.get(kind)
    for metric in METRICS[kind]:
        assert np.isfinite(score(Task("t", kind, classes=classes), metric, y, p))


def test_an_undefined_metric_is_nan():
    assert np.isnan(score(Task("t", "binary"), "roc_auc", np.ones(5), rng.random(5)))


def test_score_data_uses_the_labelled_rows_only():
    Y = rng.normal(size=(20, 2))
    Y[:5, 1] = np.nan
    data = TaskData.from_wide(rng.normal(size=(20, 2)), Y)
    predictions = {t: rng.normal(size=20) for t in data.task_names}
    found = score_data(data, predictions)
    assert np.isclose(found["y1"]["r2"], sk.r2_score(Y[5:, 1], predictions["y1"][5:]))


def test_the_scorer_takes_missing_targets_in_grid_search():
    X = rng.normal(size=(60, 3))
    Y = X @ rng.normal(size=(3, 2)) + 0.1 * rng.normal(size=(60, 2))
    Y[::7, 0] = np.nan
    search = GridSearchCV(
        GroupLasso(), {"alpha": [1e-3, 10.0]}, scoring=nan_scorer(), error_score="raise"
    ).fit(X, Y)
    assert search.best_params_["alpha"] == 1e-3
    full = np.nan_to_num(Y)
    assert np.isclose(nan_scorer()(Ridge().fit(X, full), X, full), Ridge().fit(X, full).score(X, full))
