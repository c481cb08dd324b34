"""The main job, against by-hand computations and as a new user would try to break it."""

import json
import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import Ridge

import polytask
from fakes import QUICK, Fake, fakes, long, long_frame, wide
from polytask import Task, TaskData, compare
from polytask.candidates import MultiOutput
from polytask.candidates.networks import Network
from polytask.environment import dump_json
from polytask.errors import DataError, PolytaskWarning, SettingError
from polytask.evaluation.significance import holm
from polytask.evaluation.verdicts import judge

SMALL = {"folds": 3, "repeats": 2, "inner_folds": 2}


def by_hand(comparison, offset):
    """Out-of-fold squared errors of the mean plus an offset in standard deviations, repeats averaged.

    Tasks of a long table are on one common scale, those of a wide table each on their own.
    """
    data = comparison.plan.data
    out = np.full((len(comparison.plan.folds), data.n_rows, len(data.tasks)), np.nan)
    for r, folds in enumerate(comparison.plan.folds):
        for train, test in folds:
            known = {t: dict(zip(data.rows[t].tolist(), data.targets[t])) for t in data.task_names}
            past = {t: np.array([known[t][i] for i in train if i in known[t]]) for t in data.task_names}
            common = np.concatenate(list(past.values())).std()
            for k, t in enumerate(data.task_names):
                unit = common if data.form == "long" else past[t].std()
                for i in set(test.tolist()) & set(known[t]):
                    out[r, i, k] = (known[t][i] - past[t].mean() - offset.get(t, 0.0) * unit) ** 2
    return out.mean(axis=0)


def with_gaps():
    data = wide()
    Y = pd.DataFrame(data.wide_targets(), columns=data.task_names)
    Y.loc[10:25, "t1"] = np.nan
    return TaskData.from_wide(data.X, Y)


# ---------------------------------------------------------------------- the numbers


@pytest.mark.parametrize("make", [wide, with_gaps, long])
def test_losses_gains_and_verdicts_are_the_ones_computed_by_hand(make):
    data = make()
    first = data.task_names[0]
    comparison = compare(
        data, models=[Fake("apart", "single", {first: 3.0}), Fake("together", "sharing")], **SMALL
    )
    single, sharing = by_hand(comparison, {first: 3.0}), by_hand(comparison, {})
    sides = comparison.side_losses()
    np.testing.assert_allclose(sides["single"], single, rtol=1e-9)
    np.testing.assert_allclose(sides["sharing"], sharing, rtol=1e-9)
    verdicts, overall = judge(single, sharing, sharing, comparison.task_names)
    for mine, twin in zip([*comparison.task_verdicts, comparison.overall], [*verdicts, overall]):
        for field in ("n", "loss_single", "loss_sharing", "gain", "low", "high", "p", "p_adjusted"):
            assert getattr(mine, field) == pytest.approx(getattr(twin, field), rel=1e-9)
    assert comparison.verdicts()[first] == "helped"
    assert comparison.verdicts()["overall"] == "helped"
    assert comparison.task_verdicts[1].gain == 0.0
    assert comparison.task_verdicts[1].verdict == "no difference"


def test_every_candidate_is_judged_on_every_labelled_row_once_a_repeat():
    comparison = compare(with_gaps(), models=QUICK, **SMALL)
    labels = ~np.isnan(comparison.plan.data.wide_targets())
    for losses in comparison.losses.values():
        for repeat in losses:
            np.testing.assert_array_equal(~np.isnan(repeat), labels)
    assert [v.n for v in comparison.task_verdicts] == labels.sum(axis=0).tolist()
    first, second = (np.array([fold[1] for fold in r], dtype=object) for r in comparison.plan.folds)
    assert not all(np.array_equal(a, b) for a, b in zip(first, second))


def test_row_weights_count_in_the_losses():
    """A weight of zero leaves a row out of the mean loss; the others are relative to their mean."""
    weight = np.r_[np.zeros(20), np.ones(40)]
    comparison = compare(wide(sample_weight=weight), models=fakes(), folds=3, repeats=1)
    losses = comparison.side_losses()["single"]
    assert (losses[:20] == 0).all()
    y, (folds,) = comparison.plan.data.targets["t0"], comparison.plan.folds
    train, test = folds[0]
    mean = np.average(y[train], weights=weight[train])
    # fakes predict the plain mean of targets that were centred by the weighted one
    plain = y[train].mean()
    assert mean != pytest.approx(plain)
    np.testing.assert_allclose(losses[test, 0], (y[test] - plain) ** 2 * weight[test] * 1.5)


def test_outer_test_rows_have_no_part_in_what_their_fold_learns_or_chooses():
    """Poison the targets of one outer fold's test rows: everything of that fold stays, all else moves."""
    data = wide()
    clean = compare(data, models=QUICK, **SMALL)
    test = clean.plan.folds[0][0][1]
    Y = data.wide_targets()
    Y[test] = 1e3 * np.random.default_rng(9).normal(size=Y[test].shape)
    poisoned = compare(TaskData.from_wide(data.X, dict(zip(data.task_names, Y.T))), models=QUICK, **SMALL)
    assert clean.chosen[0, 0] == poisoned.chosen[0, 0]
    moved = 0
    for a, b in zip(clean.units, poisoned.units):
        same = all(np.array_equal(a.predictions[t], b.predictions[t]) for t in data.task_names)
        same = (
            same
            and a.setting == b.setting
            and all(np.array_equal(a.inner[t], b.inner[t]) for t in data.task_names)
        )
        assert same == ((a.repeat, a.fold) == (0, 0))
        moved += not same
    assert moved == 15


def test_sides_are_chosen_by_inner_losses_not_by_outer_ones():
    """The candidate that is good inside is chosen although another is better outside."""

    class TwoFaced(Fake):
        """Good while it is tuned, bad in the final fit, or the other way round."""

        def __init__(self, name, inside, outside):
            super().__init__(name, "single")
            self.inside, self.outside, self.tuned = inside, outside, False

        def tune(self, *args):
            self.offset = dict.fromkeys(("t0", "t1", "t2"), self.inside)
            tuned = super().tune(*args)
            self.offset = dict.fromkeys(("t0", "t1", "t2"), self.outside)
            return tuned

    models = [
        TwoFaced("good inside", 0.0, 2.0),
        TwoFaced("good outside", 2.0, 0.0),
        Fake("together", "sharing"),
    ]
    comparison = compare(wide(), models=models, **SMALL)
    assert {name for sides in comparison.chosen.values() for name in sides["single"].values()} == {
        "good inside"
    }
    assert comparison.verdicts()["overall"] == "helped"


class Watching(Fake):
    """Keeps the training rows' groups or times and the inner folds that it is given."""

    seen: ClassVar[list] = []

    def tune(self, data, folds, seed, n_settings):
        Watching.seen.append((data.groups, data.time, folds))
        return super().tune(data, folds, seed, n_settings)


@pytest.fixture
def watching():
    Watching.seen = []
    return [Watching("apart", "single"), Watching("together", "sharing")]


def test_groups_are_never_on_both_sides_and_count_as_one(watching):
    groups = np.repeat(np.arange(12), 5)
    comparison = compare(wide(groups=groups), models=watching, **SMALL)
    for train, test in (fold for repeat in comparison.plan.folds for fold in repeat):
        assert not set(groups[train]) & set(groups[test])
    for inner_groups, _, folds in Watching.seen:
        for train, test in folds:
            assert not set(inner_groups[train]) & set(inner_groups[test])
    assert comparison.overall.n == 12


def test_time_runs_forward_in_one_pass(watching):
    time = np.random.default_rng(0).permutation(60)
    comparison = compare(wide(time=time), models=watching, folds=3, repeats=5, inner_folds=2)
    assert comparison.run["repeats"] == 1
    for train, test in comparison.plan.folds[0]:
        assert time[train].max() < time[test].min()
    for _, inner_time, folds in Watching.seen:
        for train, test in folds:
            assert inner_time[train].max() < inner_time[test].min()
    assert comparison.clusters is not None
    assert np.isnan(comparison.side_losses()["single"][time < 30]).all()


def test_both_sides_get_the_same_folds(watching):
    compare(wide(), models=watching, **SMALL)
    one, two = Watching.seen[::2], Watching.seen[1::2]
    for (*_, a), (*_, b) in zip(one, two):
        assert all(np.array_equal(x, y) for f, g in zip(a, b) for x, y in zip(f, g))


def test_the_table_corrects_over_tasks_and_candidates():
    comparison = compare(wide(), models=[*QUICK, "mean-regularized"], **SMALL)
    rows = comparison.table()
    assert len(rows) == 4 * 3
    assert {
        "candidate",
        "role",
        "task",
        "loss",
        "gain_percent",
        "p_adjusted",
        "verdict",
        "r2",
        "seconds",
    } <= set(rows)
    raw = []
    single = comparison.side_losses()["single"]
    for name in [*QUICK, "mean-regularized"]:
        verdicts, _ = judge(single, comparison.losses[name].mean(axis=0), single, comparison.task_names)
        raw += [v.p for v in verdicts]
    np.testing.assert_allclose(rows["p_adjusted"], holm(np.array(raw)), rtol=1e-9)


def test_metrics_are_of_the_out_of_fold_predictions():
    from sklearn.metrics import r2_score

    comparison = compare(wide(), models=fakes(), folds=3, repeats=1)
    y, predicted = comparison.plan.data.targets["t0"], np.empty(60)
    for train, test in comparison.plan.folds[0]:
        predicted[test] = y[train].mean()
    found = comparison.to_dict()["tasks"][0]["metrics"]["single"]["r2"]
    assert found == pytest.approx(r2_score(y, predicted))


# ---------------------------------------------------------------------- what it gives back


@pytest.mark.parametrize("convert", [lambda f: f, pl.from_pandas])
def test_tables_come_in_the_callers_kind(convert):
    data = wide()
    Y = pd.DataFrame(data.wide_targets(), columns=data.task_names)
    comparison = compare(TaskData.from_wide(convert(data.X), convert(Y)), models=QUICK, folds=3, repeats=1)
    for table, n in ((comparison.gains(), 4), (comparison.table(), 9)):
        assert type(table) is type(convert(data.X))
        assert len(table) == n
    assert list(comparison.gains()["task"]) == ["t0", "t1", "t2", "overall"]


def test_arrays_give_lists_of_rows():
    data = wide()
    comparison = compare(
        TaskData.from_wide(data.X.to_numpy(), data.wide_targets()), models=QUICK, folds=3, repeats=1
    )
    assert [row["task"] for row in comparison.gains()] == ["y0", "y1", "y2", "overall"]
    assert len(comparison.table()) == 9


def test_the_dictionary_is_strict_json_with_everything_the_report_shows(tmp_path):
    comparison = compare(wide(), models=QUICK, **SMALL)
    report = json.loads(
        dump_json(comparison.to_dict()), parse_constant=lambda c: pytest.fail(f"{c} is no JSON")
    )
    assert set(report) == {
        "schema", "polytask", "created", "summary", "overall", "tasks", "candidates", "left_out", "notes",
        "explain", "sparsity", "curves", "run",
    }  # fmt: skip
    assert [t["task"] for t in report["tasks"]] == ["t0", "t1", "t2"]
    for task in report["tasks"]:
        assert sum(task["single"].values()) == pytest.approx(1)
        assert sum(task["sharing"].values()) == pytest.approx(1)
        assert set(task["metrics"]) == {"single", "sharing"}
    assert [c["name"] for c in report["candidates"]] == QUICK
    assert report["run"]["n_rows"] == 60
    assert {"python", "numpy", "polytask"} <= set(report["run"]["versions"])
    page = comparison.to_html(tmp_path / "report.html").read_text()
    assert report["overall"]["verdict"] in page
    assert json.loads(comparison.to_json(tmp_path / "report.json").read_text())["tasks"] == report["tasks"]


def test_the_same_call_gives_the_same_numbers_and_another_seed_other_folds():
    one, two, other = (compare(wide(), models=QUICK, folds=3, repeats=1, seed=s) for s in (0, 0, 1))
    assert one.overall == two.overall
    assert one.overall != other.overall


# ---------------------------------------------------------------------- candidates and kinds


def test_users_estimators_take_part_on_either_side():
    models = [
        ("mine", Ridge(alpha=2.0)),
        ExtraTreesRegressor(5),
        MultiOutput("joint trees", ExtraTreesRegressor(5)),
    ]
    comparison = compare(wide(), models=models, folds=3, repeats=1)
    roles = {c["name"]: c["role"] for c in comparison.candidate_results()}
    assert roles == {"mine": "single", "ExtraTreesRegressor": "single", "joint trees": "sharing"}


def test_named_candidates_that_do_not_suit_are_told():
    with pytest.warns(PolytaskWarning, match=r"left out: joint forest\."):
        compare(with_gaps(), models=[*QUICK, "joint forest"], folds=3, repeats=1)
    with pytest.raises(SettingError, match=r"No sharing candidate can learn task 't0' \(regression\)"):
        compare(wide(), models=["ridge", "lasso"])


def mixed(n=60):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    f = X["a"].to_numpy()
    table = np.exp(np.column_stack([f, -f, 0 * f]))
    labels = (rng.normal(size=(n, 2)) < f[:, None]).astype(float)
    labels[3, 0] = np.nan
    Y = {
        "number": f + rng.normal(size=n), "sick": np.where(f + rng.normal(size=n) > 0, "yes", "no"),
        "colour": np.array(["red", "green", "blue"])[np.arange(n) % 3], "tags": labels,
        "visits": rng.poisson(np.exp(f / 2)), "chance": 1 / (1 + np.exp(-f)),
        "shares": table / table.sum(axis=1, keepdims=True),
    }  # fmt: skip
    tasks = [
        Task("visits", "counts"), Task("chance", "binary", soft=True),
        Task("shares", "multiclass", soft=True, classes=("u", "v", "w")),
    ]  # fmt: skip
    return TaskData.from_wide(X, Y, tasks=tasks)


def test_all_kinds_in_one_problem():
    setting = [{"max_epochs": 4, "hidden": (8,)}]
    trees = ("trees", ExtraTreesClassifier(5))
    models = [
        Network("alone", "single", "single", setting),
        Network("joint", "sharing", "hard", setting),
        trees,
    ]
    data = mixed()
    comparison = compare(data, models=models, folds=2, repeats=1, inner_folds=1)
    assert set(comparison.verdicts()) == {*data.task_names, "overall"}
    report = json.loads(dump_json(comparison.to_dict()))
    assert [t["kind"] for t in report["tasks"]] == [t.kind for t in data.tasks]
    trees = next(c for c in report["candidates"] if c["name"] == "trees")
    assert set(trees["tasks"]) == {"sick", "colour", "tags"}
    assert trees["delta_percent"] is None
    assert report["curves"]
    assert len(report["explain"]["similarity"]["matrix"]) == 7
    model = comparison.best_model()
    predicted = model.predict(data.X)
    assert list(predicted.columns) == data.task_names
    assert set(predicted["sick"]) <= {"yes", "no"}
    assert set(predicted["colour"]) <= {"red", "green", "blue"}
    assert predicted["visits"].min() >= 0
    chances = model.predict_proba(data.X)
    assert list(chances.columns) == [
        "sick: no", "sick: yes", "colour: blue", "colour: green", "colour: red", "tags: 0", "tags: 1",
        "chance: 0", "chance: 1", "shares: u", "shares: v", "shares: w",
    ]  # fmt: skip
    np.testing.assert_allclose(chances[["shares: u", "shares: v", "shares: w"]].sum(axis=1), 1, rtol=1e-5)


# ---------------------------------------------------------------------- bad input


def test_a_task_with_fewer_rows_than_folds_is_left_out_and_still_predicted():
    data = long((20, 20, 20, 2))
    with pytest.warns(
        PolytaskWarning, match="1 of 4 tasks are left out .* 's3': 2 rows are fewer than 3 folds"
    ):
        comparison = compare(data, models=QUICK, folds=3, repeats=1)
    assert comparison.left_out == {"s3": "2 rows are fewer than 3 folds"}
    assert comparison.task_names == ["s0", "s1", "s2"]
    frame = long_frame((20, 20, 20, 2)).drop(columns="y")
    predicted = comparison.best_model().predict(frame)
    assert np.isfinite(predicted["prediction"]).all()
    assert predicted["school"].tolist() == frame["school"].tolist()


def test_a_task_that_is_never_tested_or_constant_in_training_is_left_out():
    rng = np.random.default_rng(0)
    Y = rng.normal(size=(60, 4))
    Y[30:, 2] = np.nan
    rare = np.zeros(60)
    rare[7] = 1.0
    targets = {"a": Y[:, 0], "b": Y[:, 1], "early": Y[:, 2]}
    with pytest.warns(PolytaskWarning, match="'early': fewer than two of its rows are ever tested"):
        compare(
            TaskData.from_wide(rng.normal(size=(60, 2)), targets, time=np.arange(60)), models=QUICK, folds=3
        )
    with pytest.warns(PolytaskWarning, match="'rare': its target is constant in a training fold"):
        compare(
            TaskData.from_wide(rng.normal(size=(60, 2)), {**targets, "rare": rare}), models=QUICK, folds=3
        )


def test_tiny_long_tables_with_strata_smaller_than_the_folds_are_compared():
    comparison = compare(long((3, 3, 3, 3)), models=["ridge", "group lasso"], folds=3, repeats=1)
    assert len(comparison.chosen) == 3
    assert comparison.overall.n == 12


def test_groups_too_few_to_tune_on_are_told_before_anything_is_fitted():
    models = [Fake(n, r, interrupt_at=0) for n, r in (("apart", "single"), ("together", "sharing"))]
    with pytest.raises(
        DataError, match="training set of 30 rows has too few groups to be split again for tuning"
    ):
        compare(wide(groups=np.arange(60) % 2), models=models, folds=2)
    three = compare(wide(groups=np.arange(60) % 3), models=QUICK, folds=3, repeats=1)
    assert three.overall.n == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"folds": 1}, "folds must be a whole number of at least 2, got 1"),
        ({"folds": "5"}, "folds must be a whole number"),
        ({"folds": None}, "folds must be a whole number"),
        ({"repeats": 0}, "repeats must be"),
        ({"inner_folds": 1.5}, "inner_folds must be"),
        ({"settings": True}, "settings must be"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"level": 95}, "level must lie between"),
        ({"budget": 0}, "budget must be a positive"),
        ({"budget": float("nan")}, "budget must be a positive"),
        ({"models": ["rigde"]}, "Did you mean 'ridge'"),
    ],
)
def test_wrong_settings_are_named(change, says):
    with pytest.raises(SettingError, match=says):
        compare(wide(), **{"models": QUICK, **change})


def test_wrong_data_is_named():
    with pytest.raises(SettingError, match="compare needs a TaskData"):
        compare(wide().X)
    with pytest.raises(DataError, match="at least two tasks"):
        compare(wide(q=1), models=QUICK)
    with pytest.raises(DataError, match="cannot be split into 5 folds"):
        compare(wide(n=4), models=QUICK)
    with pytest.raises(
        DataError, match="Only 0 tasks can be compared; for example task 's0': 3 rows are fewer than 5"
    ):
        compare(long((3, 3)), models=QUICK)


def test_a_comparison_is_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison = compare(wide(), models=[*QUICK, "mean-regularized", ExtraTreesRegressor(5)], folds=3)
        comparison.to_dict()
        comparison.best_model()


def test_the_name_is_public():
    assert polytask.Comparison is type(compare(wide(), models=fakes(), folds=2, repeats=1))
