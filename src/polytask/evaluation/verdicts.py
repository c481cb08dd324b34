"""The one verdict rule: paired loss differences per row, out of fold → helped, no difference or hurt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from polytask.evaluation.significance import Interval, cluster_sums, difference_interval, holm, rows_to_settle

HELPED, SAME, HURT = "helped", "no difference", "hurt"


@dataclass(frozen=True)
class Verdict:
    """What sharing did to one task, or to all of them together (`task` is "overall").

    Attributes
    ----------
    n : int
        Rows (clusters) with an out-of-fold loss of both sides.
    loss_single, loss_sharing, loss_null : float
        Mean out-of-fold losses; null is the constant model.
    gain, low, high : float
        Mean loss difference single − sharing with its interval; positive = sharing is better. Overall: the
        mean over tasks of the differences, each as a fraction of the task's single-task loss.
    gain_percent, low_percent, high_percent : float
        The same as a percentage of the single-task loss (Δ% of the multi-task literature).
    p, p_adjusted : float
        Two-sided, against no difference; adjusted by Holm over tasks.
    verdict : {"helped", "no difference", "hurt"}
    rows_to_settle : float
        Rows at which this gain, if true, would be found with a power of 80 %.
    """

    task: str
    n: int
    loss_single: float
    loss_sharing: float
    loss_null: float
    gain: float
    low: float
    high: float
    gain_percent: float
    low_percent: float
    high_percent: float
    p: float
    p_adjusted: float
    verdict: str
    rows_to_settle: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(
    single: np.ndarray,
    sharing: np.ndarray,
    null: np.ndarray,
    names: Sequence[str],
    clusters: np.ndarray | None = None,
    *,
    level: float = 0.95,
) -> tuple[list[Verdict], Verdict]:
    """Verdicts per task and overall.

    Parameters
    ----------
    single, sharing, null : ndarray of shape (n_rows, T)
        Out-of-fold losses, averaged over repeats; NaN = no label or never in a test fold.
    names : sequence of str
    clusters : ndarray of int, shape (n_rows,), optional
        Rows that depend on each other: one group, or a stretch of time.
    level : float
        Of the intervals; a task has helped or hurt when its Holm-adjusted p is below 1 − level.

    Returns
    -------
    verdicts : list of Verdict
    overall : Verdict
    """
    scale = np.maximum(np.nanmean(single, axis=0), 1e-300)
    each = [_interval((single - sharing)[:, [k]], clusters, level) for k in range(len(names))]
    adjusted = holm(np.array([i.p for i in each]))
    verdicts = [
        _verdict(name, each[k], float(adjusted[k]), level, scale[k], single[:, k], sharing[:, k], null[:, k])
        for k, name in enumerate(names)
    ]
    relative = _interval((single - sharing) / scale, clusters, level)
    means = [np.nanmean(table / scale, axis=0) for table in (single, sharing, null)]
    return verdicts, _verdict("overall", relative, relative.p, level, 1.0, *means)


def word_for(gain: float, p_adjusted: float, level: float) -> str:
    """The verdict for a gain (positive = sharing is better) with an adjusted p."""
    if p_adjusted > 1 - level or gain == 0.0:
        return SAME
    return HELPED if gain > 0 else HURT


def summarise(overall: Verdict, tasks: Sequence[Verdict]) -> str:
    """The verdict in a sentence, from verdicts alone."""
    helped = sum(v.verdict == HELPED for v in tasks)
    hurt = sum(v.verdict == HURT for v in tasks)
    interval = f"{overall.gain_percent:+.1f} % [{overall.low_percent:+.1f}, {overall.high_percent:+.1f}]"
    parts = f"{helped} of {len(tasks)} tasks helped, {hurt} hurt"
    if overall.verdict == HELPED:
        return f"Learning the {len(tasks)} tasks together helps: loss gain {interval} on average; {parts}."
    if overall.verdict == HURT:
        return f"Learning the {len(tasks)} tasks together hurts: loss gain {interval} on average; {parts}."
    more = overall.rows_to_settle
    settle = f" About {more:,.0f} rows would settle it." if np.isfinite(more) and more > overall.n else ""
    both = f"learning the {len(tasks)} tasks together and apart"
    return f"No difference shown between {both}: {interval}; {parts}.{settle}"


def small_sample_inflation(n: float) -> float:
    """Factor on the standard error for what the limit theorem leaves out with few rows.

    A row's loss depends on the rows that its model was trained on, and theirs on it: if rows i and j lie in
    different folds, the effect of j's error on the loss at i and of i's on j are nearly the same number, and the
    theorem, which lets this pair effect vanish as n grows, counts its variance once instead of twice. So the
    variance is too small by a factor between one and about two, less so with more rows. ``1 + 120/(n + 90)`` was
    set on simulations with sparse and with dense coefficients (`benchmarks/verdicts.py` measures the coverage).

    Parameters
    ----------
    n : float
        Rows (clusters) per task.
    """
    return float(np.sqrt(1.0 + 120.0 / (n + 90.0)))


def _interval(differences: np.ndarray, clusters: np.ndarray | None, level: float) -> Interval:
    known = ~np.isnan(differences)
    if clusters is not None:
        known = cluster_sums(differences, clusters, int(clusters.max()) + 1)[1] > 0
    per_task = float(known.sum(axis=0).mean())
    return difference_interval(differences, clusters, level=level, inflation=small_sample_inflation(per_task))


def _verdict(
    name: str,
    interval: Interval,
    adjusted: float,
    level: float,
    scale: float,
    single: np.ndarray,
    sharing: np.ndarray,
    null: np.ndarray,
) -> Verdict:
    to_percent = 100.0 / scale
    return Verdict(
        task=name,
        n=interval.n,
        loss_single=float(np.nanmean(single)),
        loss_sharing=float(np.nanmean(sharing)),
        loss_null=float(np.nanmean(null)),
        gain=interval.estimate,
        low=interval.low,
        high=interval.high,
        gain_percent=float(interval.estimate * to_percent),
        low_percent=float(interval.low * to_percent),
        high_percent=float(interval.high * to_percent),
        p=interval.p,
        p_adjusted=adjusted,
        verdict=word_for(interval.estimate, adjusted, level),
        rows_to_settle=rows_to_settle(interval, level),
    )
