from __future__ import annotations

import torch

from polytask.sharing.rows import group_rows, ungroup_rows


def test_rows_go_to_their_task_and_come_back() -> None:
    x = torch.randn(9, 2)
    tasks = torch.tensor([2, 0, 2, 0, 0, 3, 2, 0, 3])
    grouped, place = group_rows(x, tasks, 5)
    assert grouped.shape == (5, 4, 2)
    for t in range(5):
        own = x[tasks == t]
        assert torch.equal(grouped[t, : len(own)], own)
        assert not grouped[t, len(own) :].any()
    assert torch.equal(ungroup_rows(grouped, place), x)
