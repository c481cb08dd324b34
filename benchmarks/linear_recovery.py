"""No free lunch: every linear multi-task model on its own truth and on the truths of the others.

Each truth is a way in which 12 tasks hang together; 40 features, 50 rows shared by all tasks (so that models of
the error covariance take part), equal signal-to-noise ratio. Penalties are chosen by five folds. Figures are
model errors E‖x(B̂ − B)‖² as a share of per-task ridge's, as geometric means over seeds with 95 % t-intervals of
their logarithms; below, how well each structure itself was found.

    python benchmarks/linear_recovery.py [--quick] [--json FILE]
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from common import Result, parser
from linear_models import regressors

N_TASKS, N_FEATURES, N_ROWS, SNR = 12, 40, 50, 1.0
BASELINE = "per-task ridge"


class Truth(NamedTuple):
    """Coefficients (q, p), the correlation of the errors (q, q), and what is to be found."""

    coef: np.ndarray
    error_correlation: np.ndarray
    structure: Any = None


# ---------------------------------------------------------------------- truths


def shared_support(rng: np.random.Generator) -> Truth:
    """Six features serve all tasks, each task with its own coefficients."""
    coef = np.zeros((N_TASKS, N_FEATURES))
    support = rng.choice(N_FEATURES, 6, replace=False)
    coef[:, support] = rng.normal(size=(N_TASKS, 6))
    return Truth(coef, np.eye(N_TASKS), set(support.tolist()))


def clusters(rng: np.random.Generator) -> Truth:
    """Three groups of tasks; within a group coefficients differ little."""
    group = np.arange(N_TASKS) % 3
    centres = rng.normal(size=(3, N_FEATURES))
    return Truth(centres[group] + 0.15 * rng.normal(size=(N_TASKS, N_FEATURES)), np.eye(N_TASKS), group)


def outlier_tasks(rng: np.random.Generator) -> Truth:
    """Nine tasks with coefficients of rank one, and three that have nothing to do with them."""
    coef = np.outer(rng.uniform(0.7, 1.3, N_TASKS), rng.normal(size=N_FEATURES))
    apart = rng.choice(N_TASKS, 3, replace=False)
    coef[apart] = rng.normal(size=(3, N_FEATURES))
    return Truth(coef, np.eye(N_TASKS), set(apart.tolist()))


def task_covariance(rng: np.random.Generator) -> Truth:
    """Rows of coefficients drawn with one equal correlation of .8 between tasks."""
    covariance = 0.2 * np.eye(N_TASKS) + 0.8
    coef = rng.normal(size=(N_FEATURES, N_TASKS)) @ np.linalg.cholesky(covariance).T
    return Truth(coef.T, np.eye(N_TASKS), covariance)


def signed_covariance(rng: np.random.Generator) -> Truth:
    """Tasks related by strong correlations of both signs."""
    sign = np.where(np.arange(N_TASKS) % 2, -1.0, 1.0)
    covariance = (0.1 * np.eye(N_TASKS) + 0.9) * np.outer(sign, sign)
    coef = rng.normal(size=(N_FEATURES, N_TASKS)) @ np.linalg.cholesky(covariance).T
    return Truth(coef.T, np.eye(N_TASKS), covariance)


def low_rank(rng: np.random.Generator) -> Truth:
    """All tasks combine two directions."""
    return Truth(rng.normal(size=(N_TASKS, 2)) @ rng.normal(size=(2, N_FEATURES)), np.eye(N_TASKS), 2)


def chain(rng: np.random.Generator) -> Truth:
    """Coefficients stay the same from task to task but for one jump each."""
    jump = rng.integers(3, N_TASKS - 3, N_FEATURES)
    before, after = rng.normal(size=(2, N_FEATURES))
    return Truth(np.where(np.arange(N_TASKS)[:, None] < jump, before, after), np.eye(N_TASKS))


def correlated_errors(rng: np.random.Generator) -> Truth:
    """Few coefficients anywhere, errors that go together."""
    coef = rng.normal(size=(N_TASKS, N_FEATURES)) * (rng.random((N_TASKS, N_FEATURES)) < 0.1)
    return Truth(coef, 0.1 * np.eye(N_TASKS) + 0.9)


def dirty(rng: np.random.Generator) -> Truth:
    """Four features serve all tasks alike in size, and each task has two of its own."""
    coef = np.zeros((N_TASKS, N_FEATURES))
    coef[:, :4] = rng.choice([-1.0, 1.0], (N_TASKS, 4))
    for t in range(N_TASKS):
        coef[t, rng.choice(np.arange(4, N_FEATURES), 2, replace=False)] = rng.normal(size=2) * 2
    return Truth(coef, np.eye(N_TASKS))


def unrelated(rng: np.random.Generator) -> Truth:
    """Nothing in common."""
    return Truth(rng.normal(size=(N_TASKS, N_FEATURES)), np.eye(N_TASKS))


#: Truths, and the models that are made for them: each of these must beat per-task ridge.
TRUTHS: dict[str, tuple[Callable[[np.random.Generator], Truth], tuple[str, ...]]] = {
    "shared support": (
        shared_support,
        ("group lasso (L1/L2)", "L1/Linf", "group MCP", "group SCAD", "robust features"),
    ),
    "clusters": (clusters, ("convex clustered",)),
    "outlier tasks": (outlier_tasks, ("robust tasks",)),
    "task covariance": (task_covariance, ("MTRL", "MrRCE", "mean-regularized", "graph (complete)")),
    "signed covariance": (signed_covariance, ("MTRL",)),
    "low rank": (low_rank, ("trace norm", "reduced rank")),
    "chain": (chain, ("fused (chain)",)),
    "correlated errors": (correlated_errors, ("MRCE",)),
    "dirty": (dirty, ("dirty model", "sparse group")),
    "unrelated": (unrelated, ()),
}  # fmt: skip


# ---------------------------------------------------------------------- runs


def main() -> None:
    options = parser(__doc__).parse_args()
    seeds = list(range(2 if options.quick else 5))
    result = Result("linear_recovery", seeds)
    makers = regressors(n_alphas=8)
    makers.pop("pooled ridge")
    for truth, (_, own) in TRUTHS.items():
        runs = Parallel(options.jobs)(delayed(_one)(truth, seed, makers) for seed in seeds)
        _report(result, truth, own, runs)
        # A run that is stopped leaves the truths it has finished.
        result.write(options.json)


def _one(truth: str, seed: int, makers: dict[str, Callable[[], Any]]) -> dict[str, dict[str, float]]:
    """Model error, seconds and what was found, of every model on one draw."""
    rng = np.random.default_rng([seed, list(TRUTHS).index(truth)])
    made = TRUTHS[truth][0](rng)
    feature_covariance = 0.5 ** np.abs(np.subtract.outer(np.arange(N_FEATURES), np.arange(N_FEATURES)))
    X = rng.normal(size=(N_ROWS, N_FEATURES)) @ np.linalg.cholesky(feature_covariance).T
    noise = np.sqrt(np.einsum("tj,jk,tk->t", made.coef, feature_covariance, made.coef).mean() / SNR)
    Y = (
        X @ made.coef.T
        + noise * rng.normal(size=(N_ROWS, N_TASKS)) @ np.linalg.cholesky(made.error_correlation).T
    )
    out = {}
    for name, make in makers.items():
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model = make().fit(X, Y)
            except Exception as error:
                print(f"  {name} on {truth}: {type(error).__name__}: {error}", flush=True)
                continue
        difference = model.coef_ - made.coef
        wrong = float(np.einsum("tj,jk,tk->", difference, feature_covariance, difference))
        out[name] = {
            "error": wrong,
            "seconds": time.perf_counter() - start,
            **_found(truth, name, model, made),
        }
    return out


def _found(truth: str, name: str, model: Any, made: Truth) -> dict[str, float]:
    """How well a model found the structure of its own truth."""
    if name not in TRUTHS[truth][1]:
        return {}
    if truth == "shared support":
        return {"f1": _f1(set(np.flatnonzero(np.abs(model.coef_).max(axis=0) > 0).tolist()), made.structure)}
    if truth == "clusters":
        label = {task: k for k, group in enumerate(model.groups_) for task in group}
        return {
            "adjusted_rand": float(adjusted_rand_score(made.structure, [label[t] for t in model.task_names_]))
        }
    if truth == "outlier tasks":
        return {"f1": _f1({model.task_names_.index(t) for t in model.outlier_tasks_}, made.structure)}
    if truth in ("task covariance", "signed covariance") and hasattr(model, "task_covariance_"):
        upper = np.triu_indices(N_TASKS, 1)
        root = np.sqrt(np.diag(model.task_covariance_))
        return {
            "mean_correlation_error": float(
                np.abs(model.task_covariance_ / np.outer(root, root) - made.structure)[upper].mean()
            )
        }
    if truth == "low rank":
        return {"rank": float(model.rank_)}
    return {}


def _f1(found: set[int], true: set[int]) -> float:
    return 2 * len(found & true) / (len(found) + len(true)) if found or true else 1.0


def _report(
    result: Result, truth: str, own: tuple[str, ...], runs: list[dict[str, dict[str, float]]]
) -> None:
    for name in runs[0]:
        part = [run for run in runs if name in run]
        ratio = np.log([run[name]["error"] / run[BASELINE]["error"] for run in part])
        half = stats.t.ppf(0.975, len(ratio) - 1) * ratio.std(ddof=1) / np.sqrt(len(ratio))
        low, high = np.exp(ratio.mean() - half), np.exp(ratio.mean() + half)
        found = {
            key: float(np.mean([run[name][key] for run in part]))
            for key in part[0][name] if key not in ("error", "seconds")
        }  # fmt: skip
        result.row(
            name, truth, error_of_ridge=float(np.exp(ratio.mean())), interval=[float(low), float(high)],
            own_truth=name in own, **found, seconds=float(np.mean([run[name]["seconds"] for run in part])),
        )  # fmt: skip
        if name in own:
            result.reached(
                name=f"{truth}: {name}, upper end of its error as a share of per-task ridge's",
                value=float(high), target=1.0, at_least=False,
            )  # fmt: skip


if __name__ == "__main__":
    main()
