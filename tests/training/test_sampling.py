from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from polytask.errors import SettingError
from polytask.training.sampling import TaskSampler, block_batches, row_batches, task_probabilities

COUNTS = [400, 100, 20, 0]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("n", "size"), [(10, 3), (10, 5), (10, 100), (129, 128), (1, 1)])
def test_an_epoch_of_rows_has_each_row_once(n: int, size: int) -> None:
    batches = row_batches(n, size, generator())
    assert sorted(torch.cat(batches).tolist()) == list(range(n))
    # No batch is a scrap, which would give a noisy step.
    assert all(len(b) >= min(n, size // 4) for b in batches)


def test_probabilities_by_hand() -> None:
    for scheme, settings, weights in [
        ("uniform", {}, [1, 1, 1, 0]),
        ("proportional", {}, COUNTS),
        ("temperature", {"temperature": 2.0}, [20, 10, 20**0.5, 0]),
        ("temperature", {"temperature": 1.0}, COUNTS),
        ("temperature", {"temperature": 1e9}, [1, 1, 1, 0]),
        ("capped", {"cap": 50}, [50, 50, 20, 0]),
    ]:
        expected = torch.tensor(weights, dtype=torch.float64)
        torch.testing.assert_close(task_probabilities(COUNTS, scheme, **settings), expected / expected.sum())


@pytest.mark.parametrize("scheme", ["uniform", "proportional", "temperature", "capped"])
def test_tasks_are_drawn_with_their_probabilities(scheme: str) -> None:
    sampler = TaskSampler(scheme, tasks_per_batch=3, cap=50)
    stream = generator()
    task_of = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
    drawn = torch.zeros(4)
    for _ in range(60):
        for batch in sampler.batches(COUNTS, 12, stream):
            assert len(batch) == 12
            drawn += torch.bincount(task_of[batch[::4]], minlength=4)
    probabilities = task_probabilities(COUNTS, scheme, cap=50)
    assert drawn[3] == 0
    expected = probabilities[:3] * drawn.sum()
    assert (
        chisquare(drawn[:3].numpy(), expected.numpy() * (drawn.sum() / expected.sum()).item()).pvalue > 1e-3
    )


def test_a_drawn_task_gives_distinct_rows_of_its_own() -> None:
    task_of = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
    for batch in TaskSampler("uniform", tasks_per_batch=1).batches(COUNTS, 10, generator()):
        assert len(set(task_of[batch].tolist())) == 1
        assert len(set(batch.tolist())) == 10


def test_blocks_hold_every_task_in_every_step() -> None:
    counts = [40, 8, 0, 3, 12]
    first = torch.tensor([0, 40, 48, 48, 51])
    batches = block_batches(counts, 8, generator())
    # 63 labels of four tasks, eight of each a step.
    assert len(batches) == 2
    for batch in batches:
        assert batch.shape == (5, 8)
        for t, (n, size) in enumerate(zip(counts, [8, 8, 0, 3, 6])):
            labels = batch[t][batch[t] >= 0] - first[t]
            assert len(labels) == size == len(set(labels.tolist()))
            assert ((labels >= 0) & (labels < n)).all()


def test_blocks_deal_a_tasks_labels_before_any_comes_again() -> None:
    batches = block_batches([7, 200], 4, generator())
    small = torch.cat([batch[0][batch[0] >= 0] for batch in batches])
    large = torch.cat([batch[1] for batch in batches])
    assert small.max() < 7
    assert torch.bincount(small).max() - torch.bincount(small).min() <= 1
    assert len(large) == len(set(large.tolist()))
    assert large.min() >= 7


def test_blocks_are_drawn_uniformly_and_anew() -> None:
    stream = generator()
    drawn = torch.cat([batch[1] for _ in range(400) for batch in block_batches([10, 50], 10, stream)])
    assert chisquare(torch.bincount(drawn, minlength=60)[10:].numpy()).pvalue > 1e-3
    assert not torch.equal(block_batches([10, 50], 10, stream)[0], block_batches([10, 50], 10, stream)[0])


def test_settings_are_checked() -> None:
    for bad in ({"scheme": "fair"}, {"scheme": "capped"}, {"scheme": "temperature", "temperature": 0.5}):
        with pytest.raises(SettingError):
            TaskSampler(**bad)
    with pytest.raises(SettingError, match="tasks_per_batch"):
        TaskSampler(tasks_per_batch=0)
