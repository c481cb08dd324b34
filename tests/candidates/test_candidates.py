import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC

from polytask import Task, TaskData
from polytask.candidates import PerTask, default_candidates, named_candidates
from polytask.candidates.task_deviations import TaskDeviations
from polytask.errors import SettingError
from polytask.evaluation.folds import make_folds
from polytask.testing import check_candidate

rng = np.random.default_rng(0)
KINDS = {
    "regression": lambda f: f + 0.3 * rng.normal(size=len(f)),
    "binary": lambda f: (f + 0.3 * rng.normal(size=len(f)) > 0).astype(int),
    "multiclass": lambda f: np.digitize(f + 0.3 * rng.normal(size=len(f)), [-0.7, 0.7]).astype(str),
    "counts": lambda f: rng.poisson(np.exp(f)),
}


def wide(kind, n=120):
    X = rng.normal(size=(n, 3))
    Y = {f"t{k}": KINDS[kind](X[:, 0] + 0.3 * k * X[:, 1]) for k in range(2)}
    return TaskData.from_wide(X, Y, tasks=[Task(t, kind) for t in Y])


def long(kind, n=180):
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    task = np.repeat(["u", "v", "w"], n // 3)
    frame = X.assign(task=task, y=KINDS[kind](X["a"].to_numpy()))
    data = TaskData.from_long(frame, task="task", target="y", kind=kind)
    return data.with_X(data.X.to_numpy())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [wide, long])
def test_every_tabular_candidate_learns_every_kind_it_says_it_supports(form, kind):
    data = form(kind)
    used = 0
    for candidate in default_candidates():
        if type(candidate).__name__ == "Network":
            continue
        if all(candidate.supports(t) for t in data.tasks) and candidate.applies(data):
            check_candidate(candidate, data)
            used += 1
    assert used >= 3


@pytest.mark.parametrize("name", ["network", "hard sharing", "soft sharing"])
@pytest.mark.parametrize("kind", KINDS)
def test_networks_learn_every_kind(name, kind):
    check_candidate(named_candidates([name])[0], wide(kind))


def test_both_sides_are_there_for_every_kind():
    for kind in KINDS:
        for data in (wide(kind), long(kind)):
            roles = {
                c.role for c in default_candidates() if c.applies(data) and all(map(c.supports, data.tasks))
            }
            assert roles == {"single", "sharing"}


def test_single_task_settings_are_chosen_per_task():
    """One task is smooth, one a step: the tree depth that suits each is found for each."""
    from sklearn.tree import DecisionTreeRegressor

    X = rng.uniform(-1, 1, size=(300, 1))
    Y = {
        "step": np.sign(X[:, 0]) + 0.8 * rng.normal(size=300),
        "wave": np.sin(12 * X[:, 0]) + 0.1 * rng.normal(size=300),
    }
    data = TaskData.from_wide(X, Y)
    candidate = PerTask("tree", DecisionTreeRegressor(), [{"max_depth": 1}, {"max_depth": 8}])
    tuned = candidate.tune(data, make_folds(data, 3, 0), 0, 2)
    assert tuned.setting == {"step": {"max_depth": 1}, "wave": {"max_depth": 8}}


def test_labels_a_training_set_lacks_get_probability_zero():
    data = wide("multiclass")
    kept = np.flatnonzero(data.targets["t0"] != 2)
    model = PerTask("f", RandomForestClassifier(10)).fit(data.subset(kept), {}, 0)
    p = model.predict_tasks(data.X)["t0"]
    assert (p[:, 2] == 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_deviations_are_a_ridge_on_the_blown_up_design():
    """With ρ features per task: the same as writing the design out by hand."""
    X, number = rng.normal(size=(60, 2)), rng.integers(0, 3, 60)
    y = (rng.random(60) > 0.5).astype(int)
    model = TaskDeviations(LogisticRegression(max_iter=5000, tol=1e-10), deviation=0.7, strength=0.5).fit(
        np.c_[X, number], y
    )
    one_hot = np.eye(3)[number]
    by_hand = np.hstack([X] + [0.7 * one_hot[:, [k]] * np.c_[X, np.ones(60)] for k in range(3)])
    twin = LogisticRegression(C=0.5, max_iter=5000, tol=1e-10).fit(by_hand, y)
    np.testing.assert_allclose(model.predict_proba(np.c_[X, number]), twin.predict_proba(by_hand), atol=1e-6)
    sparse = model.predict_proba(sp.csr_matrix(np.c_[X, number]))
    np.testing.assert_allclose(sparse, twin.predict_proba(by_hand), atol=1e-6)


def test_users_estimators_and_wrong_names():
    chosen = named_candidates(["ridge", ("mine", Ridge(alpha=3.0)), RandomForestClassifier()])
    assert [c.name for c in chosen] == ["ridge", "mine", "RandomForestClassifier"]
    assert chosen[1].supports(Task("t", "regression"))
    assert not chosen[1].supports(Task("t", "binary"))
    with pytest.raises(SettingError, match="Did you mean 'group lasso'"):
        named_candidates(["grouplasso"])
    with pytest.raises(SettingError, match="Two candidates are named 'ridge'"):
        named_candidates(["ridge", ("ridge", Ridge())])
    with pytest.raises(SettingError, match="no predict_proba"):
        named_candidates([("svm", SVC())])
    with pytest.raises(SettingError, match="A candidate is a name"):
        named_candidates([3])


def test_linear_models_by_their_own_names_take_part_where_they_can():
    X, Y = np.random.default_rng(0).normal(size=(40, 3)), np.random.default_rng(1).normal(size=(40, 2))
    wide = TaskData.from_wide(X, Y)
    own = TaskData.from_dict({"a": (X[:20], Y[:20, 0]), "b": (X[20:], Y[20:, 1])})
    errors, low_rank, alone = named_candidates(["MRCE", "trace norm", "elastic net"])
    assert [low_rank.role, alone.role] == ["sharing", "single"]
    assert errors.applies(wide)
    assert not errors.applies(own)
    assert low_rank.applies(own)
