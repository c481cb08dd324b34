"""How alike tasks are: whether the same samples are difficult for both.

Lu et al. (2017), section "Task grouping": with the error margin ``m_i^n = |t_i^n − s_i^n|`` of task i on sample
n, sample n is difficult for the task where ``m_i^n ≥ E[m_i]``, written ``e_i^n = 1``. The affinity of two tasks
is ``A(i,j) = P(e_i = 1, e_j = 1) + P(e_i = 0, e_j = 0)``, and that of two branches k and l

    ``Ã_b(k,l) = mean_{i∈k} min_{j∈l} A(i,j)``,  ``A_b(k,l) = (Ã_b(k,l) + Ã_b(l,k)) / 2``.

The paper has binary tasks, all of them labelled for every sample. Margins of the other kinds, missing labels and
sample weights are defined here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from polytask.data import TaskData
from polytask.errors import DataError, PolytaskWarning
from polytask.tasks import Task


def margin(task: Task, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Error margin of each sample.

    =============  =========================================================================================
    kind           margin
    =============  =========================================================================================
    binary         ``|t − p|``: one minus the probability of the true class
    multiclass     ``½ Σ_c |t_c − p_c|``: one minus the probability of the true class, also for soft labels
    multilabel     mean over the labels that are known of ``|t − p|``
    regression     ``|t − s|`` in the target's units; which samples are difficult does not depend on them
    counts         ``2 |√t − √s|``: in standard deviations of a Poisson count, however large its mean
    =============  =========================================================================================

    Parameters
    ----------
    task : Task
    target : ndarray of shape (n,) or (n, k)
        As in `TaskData.targets`.
    prediction : ndarray of shape (n,) or (n, k)
        As `NetworkModel.predict_tasks` returns it.

    Returns
    -------
    ndarray of shape (n,)
        NaN for a row of a multilabel task without any label.
    """
    if task.kind == "counts":
        return 2 * np.abs(np.sqrt(target) - np.sqrt(prediction))
    if task.kind == "multiclass":
        if target.ndim == 1:
            return 1 - prediction[np.arange(len(target)), target.astype(int)]
        return 0.5 * np.abs(target - prediction).sum(1)
    error = np.abs(target - prediction)
    if error.ndim == 1:
        return error
    known = ~np.isnan(error)
    count = known.sum(1)
    total = np.where(known, error, 0.0).sum(1)
    return np.divide(total, count, out=np.full(len(error), np.nan), where=count > 0)


def margins(data: TaskData, predictions: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Margins of all tasks as one table.

    Parameters
    ----------
    data : TaskData
    predictions : mapping of str to ndarray
        Each task's predictions for its labelled rows, ``data.rows[task]``.

    Returns
    -------
    table : ndarray of shape (n_rows, T)
        NaN where a row has no label.
    weights : ndarray of shape (n_rows, T)
        Sample weights, zero where a row has no label.
    """
    table = np.full((data.n_rows, len(data.tasks)), np.nan)
    weights = np.zeros_like(table)
    for k, task in enumerate(data.tasks):
        rows = data.rows[task.name]
        table[rows, k] = margin(task, data.targets[task.name], predictions[task.name])
        weights[rows, k] = data.weights[task.name]
    weights[np.isnan(table)] = 0.0
    return table, weights


def task_affinity(
    table: np.ndarray, weights: np.ndarray | None = None, names: Sequence[str] | None = None
) -> np.ndarray:
    """``A(i,j)`` over the samples that have labels of both tasks.

    E[m_i] is the mean over all samples of task i. A sample counts for a pair by √(w_i w_j), the geometric mean
    of its weights. Where two tasks have no sample in common, A is what independent tasks would have, ``q_i q_j +
    (1 − q_i)(1 − q_j)`` with q the share of difficult samples of each.

    Parameters
    ----------
    table : ndarray of shape (n, T)
        Margins; NaN: no label.
    weights : ndarray of shape (n, T), optional
    names : sequence of str, optional
        Of the tasks, for messages.

    Returns
    -------
    ndarray of shape (T, T)
        Symmetric, in [0, 1], with ones on the diagonal.

    Raises
    ------
    DataError
        Where a task has no labels, or no two tasks have a sample in common.

    Warns
    -----
    PolytaskWarning
        Where some pair has none.
    """
    known = ~np.isnan(table)
    w = known.astype(float) if weights is None else np.where(known, weights, 0.0)
    names = [str(i) for i in range(table.shape[1])] if names is None else names
    total = w.sum(0)
    if not total.all():
        name = names[int(np.argmin(total))]
        raise DataError(f"Task '{name}' has no labels here, so its errors cannot be compared with others'.")
    values = np.where(known, table, 0.0)
    difficult = values >= (w * values).sum(0) / total
    root = np.sqrt(w)
    common = root.T @ root
    hard, easy = root * difficult, root * ~difficult
    share = (w * difficult).sum(0) / total
    independent = np.outer(share, share) + np.outer(1 - share, 1 - share)
    _check_common(common, names)
    affinity = np.divide(hard.T @ hard + easy.T @ easy, common, out=independent, where=common > 0)
    np.fill_diagonal(affinity, 1.0)
    return affinity


def _check_common(common: np.ndarray, names: Sequence[str]) -> None:
    apart = np.argwhere(np.triu(common == 0, 1))
    n = len(names)
    if not len(apart):
        return
    if len(apart) == n * (n - 1) // 2:
        raise DataError(
            "No two tasks have labels of the same row, so it cannot be seen whether the same rows are difficult for "
            "them. Grouping by errors needs tasks over common rows."
        )
    first, second = apart[0]
    warnings.warn(
        f"{len(apart)} pairs of tasks, such as '{names[first]}' and '{names[second]}', have no row with labels of "
        "both; they are taken to be unrelated.",
        PolytaskWarning,
        stacklevel=3,
    )


def branch_affinity(affinity: np.ndarray, branches: Sequence[Sequence[int]]) -> np.ndarray:
    """``A_b(k,l)`` of branches, each given by the tasks on it.

    Parameters
    ----------
    affinity : ndarray of shape (T, T)
    branches : sequence of (sequence of int)
        c groups of tasks.

    Returns
    -------
    ndarray of shape (c, c)
        Symmetric. A branch's affinity with itself is that of its least alike tasks, one for a single task.
    """
    # smallest[i, l] = min over the tasks j of branch l of A(i, j)
    smallest = np.stack([affinity[:, list(members)].min(1) for members in branches], 1)
    one_way = np.stack([smallest[list(members)].mean(0) for members in branches])
    return (one_way + one_way.T) / 2
