"""Is the verdict right? Simulations in which the truth is known.

    python benchmarks/verdicts.py [--quick] [--json FILE] [--jobs 2] [--only common separate free coverage null]

- common:   8 tasks with the same 10 of 200 features, n = 200, SNR 1: sharing helps, and must be found to;
- separate: every task has its own 10 features and the group lasso is the only way to share: it hurts;
- free:     the same with all linear candidates: sharing must not be said to help;
- coverage: how often the 95 % interval holds the true expected difference of the fitted models, which the
            simulated coefficients give exactly (100 features; half of the seeds with a common support);
- null:     two procedures that are equal by symmetry: false verdicts.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from joblib import Parallel, delayed

import polytask
from common import Result, parser
from polytask.candidates.base import Candidate
from polytask.comparison import Comparison
from polytask.data import TaskData
from polytask.experiment.units import prepare
from polytask.linear import TaskRidgeCV

LINEAR = ["ridge", "lasso", "relaxed lasso", "group lasso", "relaxed group lasso", "mean-regularized"]
FORCED = ["ridge", "lasso", "relaxed lasso", "group lasso", "relaxed group lasso"]
Q, P, SUPPORT = 8, 200, 10


def simulate(
    seed: int, n: int, *, common: bool, p: int = P, q: int = Q, snr: float = 1.0
) -> tuple[TaskData, np.ndarray, np.ndarray]:
    """Data, coefficients (p, q) and noise variances (q,): standard normal features, SNR = signal/noise variance."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    B = np.zeros((p, q))
    for t in range(q):
        support = np.arange(SUPPORT) if common else rng.choice(p, SUPPORT, replace=False)
        B[support, t] = rng.normal(size=SUPPORT)
    noise = (B**2).sum(axis=0) / snr
    Y = X @ B + rng.normal(size=(n, q)) * np.sqrt(noise)
    return TaskData.from_wide(X, Y), B, noise


def tally(seed: int, n: int, common: bool, models: list[str], repeats: int = 3) -> dict[str, Any]:
    data, _, _ = simulate(seed, n, common=common)
    c = polytask.compare(data, models=models, repeats=repeats, inner_folds=3, seed=seed)
    words = [v.verdict for v in c.task_verdicts]
    return {"overall": c.overall.verdict, "helped": words.count("helped"), "hurt": words.count("hurt")}


def coverage(seed: int, n: int, models: list[str]) -> dict[str, Any]:
    """Whether the intervals hold the truth: overall, and the fraction of tasks; even seeds have a common support."""
    common = seed % 2 == 0
    data, B, noise = simulate(seed, n, common=common, p=100)
    c = polytask.compare(data, models=models, inner_folds=3, seed=seed)
    truth = true_differences(c, B, noise)
    scale = np.array([v.loss_single for v in c.task_verdicts])
    target = float((truth / scale).mean())
    z = (c.overall.gain - target) / max((c.overall.high - c.overall.low) / 2, 1e-300)
    each = [v.low <= d <= v.high for v, d in zip(c.task_verdicts, truth)]
    return {"overall": bool(abs(z) <= 1), "tasks": float(np.mean(each)), "z": float(z)}


def true_differences(c: Comparison, B: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Expected loss difference per task of the models that the folds fitted, averaged over folds."""
    out = np.zeros(len(c.tasks))
    plan, candidates = c.plan, {k.name: k for k in c.plan.candidates}
    rows = sum(len(plan.folds[r][f][1]) for r, f in c.chosen)
    for (r, f), sides in c.chosen.items():
        train, test = plan.folds[r][f]
        settings = {u.candidate: u.setting for u in c.units if (u.repeat, u.fold) == (r, f)}
        risk = {}
        for name in {n for s in sides.values() for n in s.values()}:
            risk[name] = (
                true_risk(candidates[name], settings[name], plan.data.subset(train), B, plan.seed) + noise
            )
        for k, t in enumerate(c.task_names):
            out[k] += (risk[sides["single"][t]][k] - risk[sides["sharing"][t]][k]) * len(test) / rows
    return out


def true_risk(candidate: Candidate, setting: Any, train: TaskData, B: np.ndarray, seed: int) -> np.ndarray:
    """E (f̂(x) − f(x))² for standard normal x: the squared distance of coefficients plus that of intercepts."""
    part, transformer, scaler = prepare(train, None)
    model = candidate.fit(part, setting, seed)
    p = B.shape[0]
    probes = transformer.transform(np.vstack([np.zeros(p), np.eye(p)]))
    values = np.column_stack(list(scaler.inverse(model.predict_tasks(probes)).values()))
    return values[0] ** 2 + ((values[1:] - values[0] - B) ** 2).sum(axis=0)


class HalfBlind(Candidate):
    """Ridge regression that sees one half of the noise features: two of these are equal by symmetry."""

    def __init__(self, name: str, role: str, columns: np.ndarray) -> None:
        self.name, self.role, self.columns = name, role, columns

    def supports(self, task: Any) -> bool:
        return True

    def settings(self, data: TaskData, n: int) -> list[Any]:
        return [{}]

    def fit(self, data: TaskData, setting: Any, seed: int) -> Any:
        model = TaskRidgeCV(cv=3, n_alphas=10).fit(data.with_X(data.X[:, self.columns]))
        return _Masked(model, self.columns)


class _Masked:
    def __init__(self, model: Any, columns: np.ndarray) -> None:
        self.model, self.columns = model, columns

    def predict_tasks(self, X: np.ndarray, rows: Any = None) -> dict[str, np.ndarray]:
        return self.model.predict_tasks(X[:, self.columns], rows)


def null(seed: int, n: int = 100) -> dict[str, Any]:
    """Two ridge regressions with 10 true and 20 noise features each, other ones: neither is better."""
    data, _, _ = simulate(seed, n, common=True, p=50, q=2)
    true, noise = np.arange(SUPPORT), np.arange(SUPPORT, 50)
    sides = [
        HalfBlind("a", "single", np.r_[true, noise[:20]]),
        HalfBlind("b", "sharing", np.r_[true, noise[20:]]),
    ]
    c = polytask.compare(data, models=sides, repeats=1, inner_folds=1, seed=seed)
    return {
        "false": c.overall.verdict != "no difference",
        "tasks": sum(v.verdict != "no difference" for v in c.task_verdicts),
    }


def many(jobs: int, function: Any, seeds: list[int], *arguments: Any) -> list[dict[str, Any]]:
    def quiet(seed: int) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(seed, *arguments)

    return Parallel(n_jobs=jobs)(delayed(quiet)(seed) for seed in seeds)


def report_tally(result: Result, setting: str, runs: list[dict[str, Any]]) -> dict[str, float]:
    n = len(runs)
    figures = {
        "overall_helped": sum(r["overall"] == "helped" for r in runs) / n,
        "overall_hurt": sum(r["overall"] == "hurt" for r in runs) / n,
        "tasks_helped": sum(r["helped"] for r in runs) / (n * Q),
        "tasks_hurt": float(sum(r["hurt"] for r in runs)),
    }
    result.row("polytask", setting, seeds=n, **figures)
    return figures


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--only", nargs="+", default=["common", "separate", "free", "coverage", "null"])
    args = arguments.parse_args()
    # Seeds 0..99 were seen when the default of three repeats was chosen (two missed the goal of tasks helped).
    seeds = list(range(500, 508 if args.quick else 600))
    result = Result("verdicts", seeds)
    if "common" in args.only:
        f = report_tally(result, "common support", many(args.jobs, tally, seeds, 200, True, LINEAR))
        result.reached(name="common: overall helped", value=f["overall_helped"], target=0.95)
        result.reached(name="common: tasks helped", value=f["tasks_helped"], target=0.5)
        result.reached(name="common: tasks hurt", value=f["tasks_hurt"], target=0, at_least=False)
    result.write(args.json)
    if "separate" in args.only:
        f = report_tally(
            result, "separate supports, forced", many(args.jobs, tally, seeds, 200, False, FORCED)
        )
        result.reached(name="separate, forced: overall hurt", value=f["overall_hurt"], target=0.95)
    if "free" in args.only:
        f = report_tally(result, "separate supports, free", many(args.jobs, tally, seeds, 200, False, LINEAR))
        result.reached(
            name="separate, free: false helped", value=f["overall_helped"], target=0.05, at_least=False
        )
    if "null" in args.only:
        runs = many(args.jobs, null, list(range(20 if args.quick else 400)))
        false = sum(r["false"] for r in runs)
        result.row(
            "polytask",
            "two equal procedures",
            runs=len(runs),
            false_overall=false,
            false_tasks=sum(r["tasks"] for r in runs),
        )
        result.reached(
            name="equal procedures: false verdicts",
            value=float(false),
            target=0.07 * len(runs),
            at_least=False,
        )
    if "coverage" in args.only:
        result.write(args.json)
        run_coverage(result, args.jobs, args.quick)
    result.write(args.json)


def run_coverage(result: Result, jobs: int, quick: bool) -> None:
    for n in (40, 200) if quick else (40, 100, 200, 300):
        runs = many(jobs, coverage, list(range(2000, 2000 + (8 if quick else 200))), n, FORCED)
        overall = float(np.mean([r["overall"] for r in runs]))
        result.row(
            "polytask",
            f"coverage, n={n}",
            seeds=len(runs),
            overall=overall,
            tasks=float(np.mean([r["tasks"] for r in runs])),
            common=float(np.mean([r["overall"] for r in runs[::2]])),
            separate=float(np.mean([r["overall"] for r in runs[1::2]])),
        )
        result.reached(name=f"coverage, n={n}: at least", value=overall, target=0.92)
        result.reached(name=f"coverage, n={n}: at most", value=overall, target=0.97, at_least=False)


if __name__ == "__main__":
    main()
