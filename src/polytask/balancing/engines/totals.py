"""Gramians and gradients over micro-batches and ranks.

The Gramian of a sum of gradients is not the sum of Gramians: gradients of parameters are summed first. At the
features it is, since every row of the batch belongs to one micro-batch and one rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from polytask.balancing.engines.problem import Problem
from polytask.balancing.engines.ranks import Ranks


def total_gramian(
    tasks: Sequence[str],
    problems: Sequence[Problem],
    shared: Iterable[Tensor],
    at_features: bool,
    ranks: Ranks | None,
) -> Tensor:
    """The Gramian of the whole batch's gradients, shape (T, T) in float64.

    Parameters
    ----------
    tasks : sequence of str
        All T tasks of the step.
    problems : sequence of Problem
        One per micro-batch, swept; none on a rank without labels.
    shared : iterable of Tensor
        The shared parameters, in one order on all ranks.
    at_features : bool
    ranks : Ranks, optional
    """
    if at_features:
        out = torch.zeros(len(tasks), len(tasks), dtype=torch.float64)
        for problem in problems:
            out += _placed(problem.gramian(), problem, tasks)
        return out if ranks is None else ranks.sum_tensor(out)
    if ranks is None and len(problems) == 1:
        return _placed(problems[0].gramian(), problems[0], tasks)
    # One parameter at a time, so that only one has a gradient per task in memory.
    out = torch.zeros(len(tasks), len(tasks), dtype=torch.float64)
    for parameter in shared:
        whole = total_per_task(parameter, tasks, problems, ranks).flatten(1)
        out += (whole @ whole.T).to(out)
    return out


def total_per_task(
    parameter: Tensor, tasks: Sequence[str], problems: Sequence[Problem], ranks: Ranks | None
) -> Tensor:
    """The tasks' gradients (T, …) of a parameter, over micro-batches and ranks, without the scale."""
    if ranks is None and len(problems) == 1 and problems[0].tasks == tuple(tasks):
        found = problems[0].per_task(parameter)
        if found is not None:
            return found if problems[0].scale == 1.0 else found / problems[0].scale
    out = torch.zeros((len(tasks), *parameter.shape), dtype=parameter.dtype, device=parameter.device)
    for problem in problems:
        found = problem.per_task(parameter)
        if found is not None:
            out.index_add_(0, _index(problem, tasks, out), (found / problem.scale).to(out.dtype))
    return out if ranks is None else ranks.sum_tensor(out)


def _placed(gramian: Tensor, problem: Problem, tasks: Sequence[str]) -> Tensor:
    """Among all tasks, zero for those that the problem does not have."""
    if tuple(tasks) == tuple(problem.tasks):
        return gramian.double()
    out = torch.zeros(len(tasks), len(tasks), dtype=torch.float64, device=gramian.device)
    index = _index(problem, tasks, out)
    out[index.unsqueeze(1), index] = gramian.double()
    return out


def _index(problem: Problem, tasks: Sequence[str], like: Tensor) -> Tensor:
    return torch.tensor([tasks.index(t) for t in problem.tasks], device=like.device)
