"""`best_model()` against scikit-learn on tables with several targets: mean rank over data sets.

    POLYTASK_DATA=... python benchmarks/compare_tabular.py [--quick] [--json FILE] [--cache DIR] [--sets edm jura]

Data: Mulan's multi-target sets and the London schools (65 tasks). Figure: relative RMSE (RMSE over that of the
training mean, averaged over targets) on three outer folds; everything is tuned and chosen inside them. Every family
tries four settings (linear models a path), scikit-learn's on three inner folds; polytask chooses among its
candidates by its own comparison inside the outer training rows (four folds, two inner ones) and refits on three
inner folds. Schools: scikit-learn gets the school as a categorical feature.
"""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import MultiTaskLassoCV, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import polytask
from common import Result, parser
from polytask.candidates.catalogue import _BOOSTING, _FOREST
from polytask.data import TaskData, default_preprocessing
from polytask.datasets.bundled import _load
from real_data import mulan, relative_rmse

#: polytask's candidates here: the catalogue without its slowest (a forest per target, two kinds of networks).
MODELS = [
    "ridge",
    "lasso",
    "relaxed lasso",
    "boosting",
    "group lasso",
    "relaxed group lasso",
    "mean-regularized",
    "joint forest",
    "pooled boosting",
    "hard sharing",
]
MLP = [
    {"alpha": a, "hidden_layer_sizes": h}
    for a, h in ((1e-2, (64, 64)), (1.0, (64, 64)), (1e-3, (128, 128)), (1e-1, (32,)))
]
SETS = ("edm", "jura", "enb", "sf2", "schools", "scpf", "atp1d", "wq", "oes97")
SYSTEMS = ("polytask", "RidgeCV", "MultiTaskLassoCV", "RandomForest", "MLP", "HistGradientBoosting")


def load(name: str) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray | None]:
    """Features, targets, and the task of each row where tasks have their own rows."""
    if name != "schools":
        return (*mulan(name), None)
    frame = _load("mlmRev", "Exam").drop(columns=["rownames", "student", "type"])
    school = frame["school"].astype(str).to_numpy()
    return frame.drop(columns=["normexam", "school"]), frame[["normexam"]], school


def peer(system: str, X: pd.DataFrame) -> Any:
    search = {"cv": KFold(3, shuffle=True, random_state=0), "scoring": "neg_mean_squared_error"}
    model = {
        "RidgeCV": lambda: RidgeCV(alphas=np.geomspace(1e-3, 1e5, 30)),
        "MultiTaskLassoCV": lambda: MultiTaskLassoCV(cv=search["cv"], alphas=30, max_iter=3000),
        "RandomForest": lambda: GridSearchCV(
            RandomForestRegressor(100, random_state=0), [_lists(s) for s in _FOREST], **search
        ),
        "MLP": lambda: GridSearchCV(
            MLPRegressor(
                early_stopping=True, max_iter=500, random_state=0, batch_size=64, learning_rate_init=3e-3
            ),
            [_lists(s) for s in MLP],
            **search,
        ),
        "HistGradientBoosting": lambda: MultiOutputRegressor(
            GridSearchCV(
                HistGradientBoostingRegressor(early_stopping=False, random_state=0),
                [_lists(s) for s in _BOOSTING],
                **search,
            )
        ),
    }[system]()
    return make_pipeline(
        default_preprocessing(X), TransformedTargetRegressor(model, transformer=StandardScaler())
    )


def predict_peer(
    system: str,
    X: pd.DataFrame,
    Y: pd.DataFrame,
    new: pd.DataFrame,
    school: np.ndarray | None,
    new_school: np.ndarray | None,
) -> np.ndarray:
    if school is not None:
        X, new = X.assign(school=school), new.assign(school=new_school)
    y = Y.to_numpy()
    return np.asarray(peer(system, X).fit(X, y).predict(new)).reshape(len(new), -1)


def predict_polytask(
    X: pd.DataFrame,
    Y: pd.DataFrame,
    new: pd.DataFrame,
    school: np.ndarray | None,
    new_school: np.ndarray | None,
    seed: int,
) -> tuple[np.ndarray, dict[str, str]]:
    if school is None:
        data = TaskData.from_wide(X, Y, tasks=[polytask.Task(c, "regression") for c in Y.columns])
    else:
        data = TaskData.from_long(X.assign(school=school, y=Y.to_numpy()[:, 0]), task="school", target="y")
    comparison = polytask.compare(data, models=MODELS, folds=4, repeats=1, inner_folds=2, seed=seed, n_jobs=1)
    model = comparison.best_model()
    if school is None:
        return model.predict(new).to_numpy(), model.describe()
    return model.predict(new.assign(school=new_school))["prediction"].to_numpy()[:, None], model.describe()


def run_fold(name: str, system: str, fold: int, n_folds: int) -> dict[str, Any]:
    X, Y, school = load(name)
    train, test = list(KFold(n_folds, shuffle=True, random_state=0).split(X))[fold]
    parts = X.iloc[train], Y.iloc[train], X.iloc[test]
    schools = (None, None) if school is None else (school[train], school[test])
    start, chosen = time.perf_counter(), {}
    if system == "polytask":
        predicted, chosen = predict_polytask(*parts, *schools, fold)
    else:
        predicted = predict_peer(system, *parts, *schools)
    error = relative_rmse(Y.to_numpy()[test], predicted, Y.to_numpy()[train])
    return {"error": error, "seconds": time.perf_counter() - start, "chosen": chosen}


def cached(cache: Path | None, name: str, system: str, fold: int, n_folds: int) -> dict[str, Any]:
    path = None if cache is None else cache / f"{name}-{system}-{fold}of{n_folds}.json"
    if path is not None and path.exists():
        return json.loads(path.read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = run_fold(name, system, fold, n_folds)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
    return found


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--folds", type=int, default=3)
    arguments.add_argument("--cache", type=Path, help="keeps finished folds, so that a run can go on")
    arguments.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    args = arguments.parse_args()
    names = ["edm", "jura"] if args.quick else args.sets
    result = Result("compare_tabular", [0])
    errors = np.zeros((len(names), len(SYSTEMS)))
    for i, name in enumerate(names):
        for j, system in enumerate(SYSTEMS):
            runs = [cached(args.cache, name, system, f, args.folds) for f in range(args.folds)]
            values = [r["error"] for r in runs]
            errors[i, j] = np.mean(values)
            result.row(
                system,
                name,
                relative_rmse=float(errors[i, j]),
                folds=values,
                seconds=float(np.mean([r["seconds"] for r in runs])),
                chosen=[r["chosen"] for r in runs]
                if name != "schools"
                else [sorted(set(r["chosen"].values())) for r in runs],
            )
        print(name, dict(zip(SYSTEMS, np.round(errors[i], 4))), flush=True)
    ranks = np.array([rankdata(np.round(e, 6)) for e in errors])
    for j, system in enumerate(SYSTEMS):
        result.row(system, "mean rank", mean_rank=float(ranks[:, j].mean()), ranks=ranks[:, j].tolist())
    best_peer = float(ranks[:, 1:].mean(axis=0).min())
    result.reached(
        name="mean rank of polytask against the best peer's",
        value=float(ranks[:, 0].mean()),
        target=best_peer,
        at_least=False,
    )
    lost = [n for n, r in zip(names, ranks) if r[0] > r[1:].min()]
    print(f"a peer is better on: {', '.join(lost) or 'none'}")
    result.write(args.json)


def _lists(setting: dict[str, Any]) -> dict[str, list[Any]]:
    return {k: [v] for k, v in setting.items()}


if __name__ == "__main__":
    main()
