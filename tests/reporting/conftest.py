"""Reports as `Comparison.to_dict` gives them, of any number of tasks, made up but consistent."""

from __future__ import annotations

import math

import numpy as np
import pytest

HOSTILE = "<script>alert(\"x\")</script> & 'quotes'"
LONG = "average daily number of passengers who enter the station between six and nine, weekdays only"
SINGLE = ("ridge", "lasso", "forest", "boosting", "network")
SHARING = (
    "group lasso",
    "mean-regularized",
    "joint forest",
    "pooled boosting",
    "hard sharing",
    "soft sharing",
)


def make_report(q: int = 3, p: int = 100, seed: int = 0) -> dict:
    """A report of `q` tasks and `p` features; the first names are hostile to HTML and very long."""
    rng = np.random.default_rng(seed)
    names = (
        [HOSTILE, LONG, *(f"school {k}" for k in range(3, q + 1))][:q]
        if q > 3
        else ["water", HOSTILE, LONG][:q]
    )
    gains = rng.normal(3, 8, q)
    widths = rng.uniform(2, 9, q) * rng.choice([1, 1, 1, 6], q)
    if q >= 3:
        gains[:3], widths[:3] = (14.0, 2.3, -6.2), (5.0, 4.0, 3.1)
    tasks = [_task(name, g, w, rng) for name, g, w in zip(names, gains, widths)]
    words = [t["verdict"] for t in tasks]
    overall = _verdict("overall", float(gains.mean()), float(widths.mean() / math.sqrt(q)), 900)
    return {
        "schema": 1,
        "polytask": "0.1.0",
        "created": "2026-11-22T01:00:00+00:00",
        "summary": f"Learning the {q} tasks together helps: loss gain {overall['gain_percent']:+.1f} % "
        f"[{overall['low_percent']:+.1f}, {overall['high_percent']:+.1f}] on average; "
        f"{words.count('helped')} of {q} tasks helped, {words.count('hurt')} hurt.",
        "overall": overall,
        "tasks": tasks,
        "candidates": [_candidate(c, "single", names, -4.0, rng) for c in SINGLE]
        + [_candidate(c, "sharing", names, 1.0, rng) for c in SHARING],
        "left_out": {"school 99": "3 rows are fewer than 5 folds"},
        "notes": ["2 instead of 4 settings per family to keep the budget"],
        "explain": _explain(names, gains, rng),
        "sparsity": _sparsity(names, p, rng),
        "curves": [{"model": m, "history": _history(names, rng)} for m in ("hard sharing", "soft sharing")],
        "run": {
            "folds": 5,
            "repeats": 2,
            "inner_folds": 3,
            "settings": 4,
            "seed": 0,
            "level": 0.95,
            "seconds": 93.1,
            "budget": 120,
            "n_rows": 215 if q == 3 else 4059,
            "n_features": p,
            "form": "wide",
            "versions": {"python": "3.11.7", "numpy": "2.4.6", "torch": "2.13.0"},
            "hardware": {"processor": "Some CPU", "cores": 2, "system": "Linux x86_64"},
        },
    }


def _verdict(name: str, gain: float, width: float, n: int) -> dict:
    low, high = gain - width, gain + width
    word = "helped" if low > 0 else "hurt" if high < 0 else "no difference"
    p = math.erfc(abs(gain) / (width / 1.96) / math.sqrt(2))
    return {
        "task": name,
        "n": n,
        "loss_single": 0.5,
        "loss_sharing": 0.5 * (1 - gain / 100),
        "loss_null": 1.1,
        "gain": gain / 200,
        "low": low / 200,
        "high": high / 200,
        "gain_percent": gain,
        "low_percent": low,
        "high_percent": high,
        "p": p,
        "p_adjusted": min(1.0, 3 * p),
        "verdict": word,
        "rows_to_settle": math.inf if abs(gain) < 0.5 else n * (width / gain) ** 2 * 2,
    }


def _task(name: str, gain: float, width: float, rng: np.random.Generator) -> dict:
    labels = int(rng.integers(20, 400))
    return {
        **_verdict(name, float(gain), float(width), labels),
        "kind": "regression",
        "labels": labels,
        "single": {"ridge": 0.8, "forest": 0.2},
        "sharing": {"mean-regularized": 0.7, "group lasso": 0.3},
        "metrics": {"single": {"r2": 0.512, "rmse": 3.1}, "sharing": {"r2": 0.561, "rmse": 2.94}},
    }


def _candidate(name: str, role: str, tasks: list[str], shift: float, rng: np.random.Generator) -> dict:
    results = {}
    for task in tasks:
        found = _verdict(task, float(rng.normal(shift, 6)), 6.0, 100)
        results[task] = {
            "loss": found["loss_sharing"],
            **{k: found[k] for k in ("gain_percent", "low_percent", "high_percent", "p_adjusted", "verdict")},
            "metrics": {"r2": 0.5},
        }
    delta = float(np.mean([r["gain_percent"] for r in results.values()]))
    if name == "joint forest":
        results.pop(tasks[-1])
        delta = None
    return {
        "name": name,
        "role": role,
        "seconds": float(rng.uniform(0.1, 30)),
        "settings_tried": 4,
        "delta_percent": delta,
        "tasks": results,
    }


def _explain(names: list[str], gains: np.ndarray, rng: np.random.Generator) -> dict:
    q = len(names)
    factors = rng.normal(size=(q, 2)) + np.eye(2)[np.arange(q) % 2] * 2
    unit = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    return {
        "tasks": {
            n: {
                "labels": int(rng.integers(20, 400)),
                "noise": float(rng.uniform(0.2, 0.9)),
                "similarity": float(rng.uniform(0, 1)),
            }
            for n in names
        },
        "similarity": {"tasks": names, "matrix": np.clip(unit @ unit.T, -1, 1).tolist()},
        "thinning": [
            {"fraction": f, "gain_percent": g, "low_percent": g - w, "high_percent": g + w}
            for f, g, w in ((0.25, 11.0, 6.0), (0.5, 7.5, 4.0), (1.0, float(gains.mean()), 2.0))
        ],
    }


def _sparsity(names: list[str], p: int, rng: np.random.Generator) -> list[dict]:
    q = len(names)
    features = [f"channel <{j}>" for j in range(p)]
    alone = rng.normal(size=(q, p)) * (rng.random((q, p)) < 0.25)
    together = rng.normal(size=(q, p)) * (rng.random(p) < 0.2)
    return [
        {"model": m, "role": r, "tasks": names, "features": features, "coef": c.tolist()}
        for m, r, c in (("group lasso", "sharing", together), ("lasso", "single", alone))
    ]


def _history(names: list[str], rng: np.random.Generator) -> list[dict]:
    floors = rng.uniform(0.2, 0.6, len(names))
    return [
        {
            "epoch": e,
            "train": {n: float(f * 0.8 + math.exp(-e / 12)) for n, f in zip(names, floors)},
            "validation": {
                n: float(f + math.exp(-e / 9) + rng.normal(0, 0.01) + 0.002 * e)
                for n, f in zip(names, floors)
            },
        }
        for e in range(60)
    ]


@pytest.fixture
def report() -> dict:
    return make_report()


@pytest.fixture
def large_report() -> dict:
    return make_report(65, 40, seed=1)


@pytest.fixture
def report_of():
    """The function that makes reports, for tests of other sizes."""
    return make_report
