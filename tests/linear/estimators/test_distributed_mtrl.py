from __future__ import annotations

import builtins

import numpy as np
import pytest
from problems import wide_problem
from scipy import sparse
from sklearn.utils.estimator_checks import parametrize_with_checks

from polytask.data import TaskData
from polytask.errors import DataError, MissingPackageError, PolytaskWarning, SettingError, TrainingError
from polytask.linear.estimators.distributed_mtrl import DistributedMTRL
from polytask.linear.estimators.mtrl import MTRL
from polytask.linear.estimators.workers import deal_tasks, part_of
from polytask.linear.moments import Moments
from polytask.linear.table import LabelledTable

APPROXIMATE = "its steps are random, so repeated rows and weights agree only up to tol"


@parametrize_with_checks(
    [DistributedMTRL()],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence_on_dense_data": APPROXIMATE,
        "check_sample_weight_equivalence_on_sparse_data": APPROXIMATE,
    },
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def schools(loss="squared", n_tasks=6, p=4, seed=0):
    """Tasks with their own rows, as many as they like."""
    rng = np.random.default_rng(seed)
    coef = rng.normal(size=(n_tasks, 2)) @ rng.normal(size=(2, p)) / 2
    tables = {}
    for t in range(n_tasks):
        X = rng.normal(size=(12 + 5 * t, p)) + 2
        z = (X - 2) @ coef[t]
        tables[f"s{t}"] = {
            "squared": (X, z + rng.normal(size=len(z)) + t),
            "logistic": (X, (rng.random(len(z)) < 1 / (1 + np.exp(-z))).astype(int)),
            "poisson": (X, rng.poisson(np.exp(np.minimum(z, 2)))),
        }[loss]
    return tables


def objective(model, tables, alpha, sharing):
    """The documented objective of `MTRL`, halved, from the data."""
    total = 0.0
    for t, (X, y) in enumerate(tables.values()):
        z = X @ model.coef_[t] + model.intercept_[t]
        if model.loss == "squared":
            total += np.sum((y - z) ** 2) / 2
        else:
            total += np.sum((np.logaddexp(0, z) if model.loss == "logistic" else np.exp(z)) - y * z)
    trace_norm = np.linalg.svd(model.coef_, compute_uv=False).sum()
    squares = (1 - sharing) * np.sum(model.coef_**2) + sharing / len(tables) * trace_norm**2
    return total + alpha / 2 * squares


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize("sharing", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("updates", ["joint", "alternating"])
def test_the_result_is_that_of_mtrl(loss, sharing, updates):
    if updates == "alternating" and loss == "poisson":
        pytest.skip("as slow as it looks, and the joint updates cover the loss")
    tables = schools(loss)
    settings = {"alpha": 5.0, "sharing": sharing, "loss": loss}
    exact = MTRL(**settings, tol=1e-10).fit(tables)
    near = DistributedMTRL(**settings, tol=1e-5, updates=updates).fit(tables)
    best = objective(exact, tables, 5.0, sharing)
    assert best - 1e-8 * abs(best) <= objective(near, tables, 5.0, sharing) <= best + 1e-4 * abs(best)
    assert objective(near, tables, 5.0, sharing) - best <= near.dual_gap_ + 1e-8 * abs(best)
    np.testing.assert_allclose(near.task_covariance_, exact.task_covariance_, atol=0.02)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_shared_rows_with_missing_labels_and_weights(form):
    X, Y = wide_problem(n=40, p=5, missing=0.3)
    w = np.random.default_rng(0).uniform(0.5, 2, 40)
    exact = MTRL(4.0, 0.7, tol=1e-12).fit(X, Y, sample_weight=w)
    given = sparse.csr_matrix(X) if form == "sparse" else X
    near = DistributedMTRL(4.0, 0.7, tol=1e-10).fit(given, Y, sample_weight=w)
    np.testing.assert_allclose(near.coef_, exact.coef_, atol=1e-3)
    np.testing.assert_allclose(near.intercept_, exact.intercept_, atol=1e-2)


def test_labels_far_from_zero_keep_their_digits():
    X, Y = wide_problem(n=40, p=5)
    near = DistributedMTRL(4.0, 0.7, tol=1e-11).fit(X, Y)
    far = DistributedMTRL(4.0, 0.7, tol=1e-11).fit(X, Y + 1e7)
    np.testing.assert_allclose(far.coef_, near.coef_, atol=1e-4)
    np.testing.assert_allclose(far.intercept_ - 1e7, near.intercept_, atol=1e-3)
    assert far.n_rounds_ < 200


@pytest.mark.parametrize(
    "settings",
    [
        {"fit_intercept": False},
        {"standardize": True},
        {"scale_targets": True},
        {"penalty_factors": [1.0, 2.0, 0.5, 1.0, 3.0]},
    ],
)
def test_common_settings_mean_the_same_as_in_mtrl(settings):
    X, Y = wide_problem(n=40, p=5, missing=0.2)
    Y = Y * [1.0, 5.0, 20.0]
    exact = MTRL(4.0, 0.7, tol=1e-12, **settings).fit(X, Y)
    near = DistributedMTRL(4.0, 0.7, tol=1e-10, **settings).fit(X, Y)
    np.testing.assert_allclose(near.coef_, exact.coef_, atol=1e-3 * np.abs(exact.coef_).max())


def test_what_was_sent_is_counted_and_holds_no_rows():
    tables = schools(n_tasks=6, p=4)
    fitted = DistributedMTRL(5.0, 0.7).fit(tables)
    assert fitted.n_rounds_ == fitted.n_iter_ > 1
    # Before the first round, C out, and B and two numbers back; then p + 1 out and p + 3 back, and one for all.
    assert fitted.communicated_ == 8 * (6 * (4 + 4 + 2) + fitted.n_rounds_ * (6 * (4 + 1 + 4 + 3) + 1))
    again = DistributedMTRL(5.0, 0.7).fit(
        {name: (np.tile(X, (9, 1)), np.tile(y, 9)) for name, (X, y) in tables.items()}
    )
    assert again.communicated_ == 8 * (6 * (4 + 4 + 2) + again.n_rounds_ * (6 * (4 + 1 + 4 + 3) + 1))


def test_dask_workers_give_the_same_result_to_the_last_bit(client):
    tables = schools()
    here = DistributedMTRL(5.0, 0.9, tol=1e-6).fit(tables)
    there = DistributedMTRL(5.0, 0.9, tol=1e-6, client=client).fit(tables)
    np.testing.assert_array_equal(there.coef_, here.coef_)
    np.testing.assert_array_equal(there.intercept_, here.intercept_)
    assert there.n_rounds_ == here.n_rounds_
    # An extra worker needs the number that is the same for all tasks once more.
    assert there.communicated_ == here.communicated_ + 8 * here.n_rounds_
    by_address = DistributedMTRL(5.0, 0.9, tol=1e-6, client=client.scheduler.address).fit(tables)
    np.testing.assert_array_equal(by_address.coef_, here.coef_)


def test_dask_workers_share_tables_with_missing_labels(client):
    X, Y = wide_problem(n=30, p=4, q=5, missing=0.2)
    here, there = DistributedMTRL(3.0).fit(X, Y), DistributedMTRL(3.0, client=client).fit(X, Y)
    np.testing.assert_array_equal(there.coef_, here.coef_)


def test_a_lost_worker_is_an_error_that_names_its_tasks(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("polytask.linear.estimators.workers._PATIENCE", 0.3)
    from polytask.linear.estimators.workers import DaskWorkers, SiteSettings
    from polytask.linear.solvers.task_site import Order

    table = LabelledTable.from_task_data(TaskData.from_dict(schools()))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = DaskWorkers(table, SiteSettings("squared", True, 1, 0), client)
        workers.start(np.zeros((6, 4)))
        lost = workers.addresses[1]
        client.retire_workers([lost], close_workers=True)
        with pytest.raises(TrainingError, match=f"{lost} was lost with the rows of 's"):
            workers.work(Order(np.zeros((6, 4)), np.ones(6), 0.0))


def test_a_client_must_be_one():
    pytest.importorskip("distributed")
    with pytest.raises(SettingError, match="client must be None"):
        DistributedMTRL(client=object()).fit(schools())


def test_an_address_without_a_scheduler_is_an_error(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("polytask.linear.estimators.workers._CONNECT", 0.3)
    with pytest.raises(SettingError, match="no Dask scheduler answers there"):
        DistributedMTRL(client="tcp://127.0.0.1:1").fit(schools())


def test_without_dask_a_client_is_an_error_with_the_install_command(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name.split(".")[0] == "distributed":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    DistributedMTRL().fit(schools())
    with pytest.raises(MissingPackageError, match=r"pip install \"polytask\[dask\]\""):
        DistributedMTRL(client="tcp://127.0.0.1:8786").fit(schools())


def test_tasks_are_dealt_out_evenly_and_keep_their_rows():
    table = LabelledTable.from_task_data(TaskData.from_dict(schools()))
    dealt = deal_tasks(table, 2)
    assert sorted(np.concatenate(dealt)) == list(range(6))
    rows = [sum(len(table.patterns[t].rows) for t in tasks) for tasks in dealt]
    assert abs(rows[0] - rows[1]) <= 10
    for tasks in dealt:
        part = part_of(table, tasks)
        assert part.task_names == tuple(table.task_names[t] for t in tasks)
        for labels in part.patterns:
            whole = table.patterns[tasks[labels.tasks[0]]]
            np.testing.assert_array_equal(part.X[labels.rows], table.X[whole.rows])
            np.testing.assert_array_equal(labels.targets, whole.targets)
    assert [len(tasks) for tasks in deal_tasks(table, 6)] == [1] * 6


def test_a_warm_start_takes_fewer_rounds():
    tables = schools()
    model = DistributedMTRL(5.0, 0.7, tol=1e-6, warm_start=True).fit(tables)
    cold = model.n_rounds_
    assert model.fit(tables).n_rounds_ < cold


def test_a_path_starts_each_point_from_the_last():
    table = LabelledTable.from_task_data(TaskData.from_dict(schools()))
    grid = np.array([[50.0, 0.8], [10.0, 0.8], [2.0, 0.8]])
    path = DistributedMTRL(tol=1e-9).coef_path(table, grid)
    exact = MTRL(tol=1e-11).coef_path(table, grid)
    np.testing.assert_allclose(path.coef, exact.coef, atol=1e-3)
    assert np.all(np.diff(path.learned["communicated"]) > 0)


def test_not_converging_warns_with_the_gap_that_was_reached():
    with pytest.warns(PolytaskWarning, match=r"duality gap of \d.*above tol=1e-08"):
        DistributedMTRL(0.1, tol=1e-8, max_iter=3).fit(schools())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"updates": "sometimes"}, "updates must be 'joint' or 'alternating'"),
        ({"epochs": 0}, "epochs must be a whole number of 1 or more"),
        ({"random_state": -1}, "random_state must be a whole number"),
        ({"alpha": 0.0}, "alpha must be positive"),
        ({"penalty_factors": [0, 1, 1, 1]}, "penalty_factors of zero"),
        ({"positive": True}, "singular values"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        DistributedMTRL(**settings).fit(schools())


def test_moments_hold_no_rows():
    X, Y = wide_problem()
    with pytest.raises(DataError, match="rows of their tasks"):
        DistributedMTRL().fit(Moments.from_arrays(X, Y))
