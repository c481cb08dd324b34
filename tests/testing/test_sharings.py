"""The suite passes what keeps the contract and names what breaks it."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from polytask.sharing import SHARINGS, HardSharing, Sharing
from polytask.testing import check_sharing


@pytest.mark.parametrize("name", SHARINGS)
def test_built_in_architectures_conform(name) -> None:
    check_sharing(SHARINGS[name])


class Small(Sharing):
    """The least that a third party writes."""

    name = "small"

    def __init__(self, n_inputs: int, heads) -> None:
        super().__init__(heads)
        self.encoder = nn.Linear(n_inputs, 4)
        self.outs = nn.ModuleDict({t: nn.Linear(4, k) for t, k in heads.items()})

    def forward(self, x, rows=None):
        h = self.remember(torch.tanh(self.encoder(x)))
        return {t: self.outs[t](h if i is None else h[i]) for t, i in self.check_rows(rows).items()}

    def shared_parameters(self):
        return self.encoder.parameters()

    def task_parameters(self, task):
        return self.outs[task].parameters()


def test_an_architecture_of_ones_own_conforms() -> None:
    check_sharing(Small)


class AllTasks(Small):
    def forward(self, x, rows=None):
        self.check_rows(rows)
        return super().forward(x)


class IgnoresRows(Small):
    def forward(self, x, rows=None):
        return super().forward(x, dict.fromkeys(self.check_rows(rows)))


class AnyTask(Small):
    def check_rows(self, rows):
        return {t: i for t, i in super().check_rows(None).items() if rows is None or t in rows} | {
            t: i for t, i in (rows or {}).items() if t in self.heads
        }


class BatchCentred(Small):
    def forward(self, x, rows=None):
        return super().forward(x - x.mean(0) if len(x) > 1 else x, rows)


class Orphan(Small):
    def __init__(self, n_inputs, heads) -> None:
        super().__init__(n_inputs, heads)
        self.forgotten = nn.Parameter(torch.zeros(1))


class TwoOwners(Small):
    def task_parameters(self, task):
        return itertools.chain(self.outs[task].parameters(), [self.encoder.bias])


class CalledShared(Small):
    """Heads that are said to be shared."""

    def shared_parameters(self):
        return self.parameters()

    def task_parameters(self, task):
        return iter(())


class CalledOwn(Small):
    """An encoder that is said to be the first task's own."""

    def shared_parameters(self):
        return iter(())

    def task_parameters(self, task):
        own = self.outs[task].parameters()
        return itertools.chain(own, self.encoder.parameters()) if task == self.tasks[0] else own


class ZeroTerms(Small):
    """Absent tasks take part with the factor zero."""

    def forward(self, x, rows=None):
        zero = 0.0 * sum(p.sum() for p in self.outs.parameters())
        return {t: v + zero for t, v in super().forward(x, rows).items()}


class Detached(Small):
    def forward(self, x, rows=None):
        h = torch.tanh(self.encoder(x)).detach()
        return {t: self.outs[t](h if i is None else h[i]) for t, i in self.check_rows(rows).items()}


class HiddenState(Small):
    def __init__(self, n_inputs, heads) -> None:
        super().__init__(n_inputs, heads)
        self.scale = float(torch.rand(()))

    def forward(self, x, rows=None):
        return super().forward(self.scale * x, rows)


class Counting(Small):
    made = itertools.count()

    def __init__(self, n_inputs, heads) -> None:
        super().__init__(n_inputs, heads)
        nn.init.constant_(self.encoder.bias, next(Counting.made))


class Single(Small):
    def forward(self, x, rows=None):
        return {t: v.float() for t, v in super().forward(x, rows).items()}


class WrongTable(Small):
    def table(self, x):
        return super().table(x).flip(1)


class WrongOwn(Small):
    def own(self, x, task_of_row):
        return super().own(x, task_of_row.flip(0))


class VectorPenalty(Small):
    def penalty(self):
        return self.encoder.bias.square()


class Bursting(Small):
    def after_step(self) -> None:
        with torch.no_grad():
            self.encoder.weight.fill_(float("inf"))


class BypassedFeatures(Small):
    """A way past the features: the input's first columns reach the heads through shared weights."""

    def forward(self, x, rows=None):
        h = self.remember(torch.tanh(self.encoder(x))) + self.encoder(2 * x)
        return {t: self.outs[t](h if i is None else h[i]) for t, i in self.check_rows(rows).items()}


class InOrder(Small):
    """Outputs go to the tasks in the order in which these were asked for."""

    def forward(self, x, rows=None):
        asked = self.check_rows(rows)
        out = super().forward(x, rows)
        whole = (
            rows is not None
            and len(asked) == len(self.tasks)
            and not any(i is not None for i in asked.values())
        )
        return dict(zip(asked, [out[t] for t in self.tasks])) if whole else out


class AnyWidth(Small):
    def forward(self, x, rows=None):
        return super().forward(nn.functional.pad(x, (0, self.encoder.in_features - x.shape[1])), rows)


class OwnDraws(Small):
    """Dropout that no seed reaches."""

    draws = torch.Generator().manual_seed(0)

    def forward(self, x, rows=None):
        if self.training:
            x = x * torch.rand(x.shape, generator=OwnDraws.draws, dtype=x.dtype)
        return super().forward(x, rows)


class Miscounted(Small):
    def describe(self):
        return super().describe() | {"parameters": 1}


class NoSettings(HardSharing):
    @classmethod
    def for_table(cls, *arguments, **settings):
        out = super().for_table(*arguments, **settings)
        out.settings = None
        return out


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (AllTasks, "forward returned"),
        (IgnoresRows, "the rows of 'a' asked for must be those of forward|own must agree"),
        (AnyTask, "an unknown task in rows must raise a SettingError"),
        (BatchCentred, "a row of 'a' must not depend on other rows"),
        (Orphan, "parameter 'forgotten' is neither among the shared nor among any task's"),
        (TwoOwners, r"parameter 'encoder\.bias' has more than one owner"),
        (CalledShared, r"the shared parameter 'outs\.a\.weight' gets a gradient from 1 tasks"),
        (CalledOwn, r"parameter 'encoder\.weight' of 'a' gets a gradient from \['b', 'c'\]"),
        (ZeroTerms, r"parameter 'outs\.a\.weight' of 'a' gets a gradient from \['b', 'c'\]"),
        (Detached, r"the shared parameter 'encoder\.weight' gets a gradient from 0 tasks"),
        (HiddenState, "state_dict must hold everything"),
        (Counting, "one seed must give one network"),
        (Single, "outputs of 'a' are torch.float32 for float64"),
        (WrongTable, "table must agree with forward"),
        (WrongOwn, "own must agree with forward"),
        (VectorPenalty, "penalty must be a scalar"),
        (Bursting, "after_step left parameters that are not finite"),
        (BypassedFeatures, r"features\(\) must lie on every way from shared parameters to 'a'"),
        (InOrder, "'a' must not depend on the order of tasks"),
        (AnyWidth, "a table with a column too few must raise an error"),
        (OwnDraws, "in training mode, one seed must give the same outputs"),
        (Miscounted, "describe counts 1 of"),
        (NoSettings, "for_table must set `settings`"),
    ],
)
def test_what_is_broken_is_named(broken, message) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sharing(broken)
