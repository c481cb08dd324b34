"""Rows of several tasks in one batch: grouped by task and padded, for one batched product."""

from __future__ import annotations

import torch
from torch import Tensor


def group_rows(x: Tensor, task_of_row: Tensor, n_tasks: int) -> tuple[Tensor, Tensor]:
    """Group rows by their task.

    Parameters
    ----------
    x : Tensor of shape (n, …)
    task_of_row : int64 Tensor of shape (n,)
    n_tasks : int

    Returns
    -------
    grouped : Tensor of shape (T, m, …)
        m is the largest number of rows of one task; the places that are left are zero.
    place : int64 Tensor of shape (n,)
        Where row i went: ``grouped.flatten(0, 1)[place[i]] == x[i]``.
    """
    counts = torch.bincount(task_of_row, minlength=n_tasks)
    m = max(int(counts.max()), 1)
    order = torch.argsort(task_of_row, stable=True)
    start = torch.cumsum(counts, 0) - counts
    sorted_tasks = task_of_row[order]
    within = torch.arange(len(order), device=x.device) - start[sorted_tasks]
    place = torch.empty_like(order)
    place[order] = sorted_tasks * m + within
    grouped = x.new_zeros(n_tasks * m, *x.shape[1:]).index_copy(0, place, x)
    return grouped.view(n_tasks, m, *x.shape[1:]), place


def ungroup_rows(grouped: Tensor, place: Tensor) -> Tensor:
    """Back to one row each: (T, m, …) → (n, …)."""
    return grouped.flatten(0, 1).index_select(0, place)
