from __future__ import annotations

import pytest
import torch

from polytask.errors import SettingError
from polytask.sharing import HardSharing
from polytask.sharing.conditioning import Additive, Concatenation, FiLM, Gating
from polytask.testing import check_sharing

EQUAL = {"a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize("cls", [Additive, Concatenation, FiLM, Gating])
def test_networks_with_one_head_conform(cls: type[Additive]) -> None:
    check_sharing(lambda n, heads: cls.for_table(n, dict.fromkeys(heads, 2), head="shared", task_hidden=(3,)))


def test_all_but_the_conditions_is_shared() -> None:
    net = FiLM.for_table(3, EQUAL, hidden=(4,), head="shared", task_hidden=(3,))
    one = HardSharing.for_table(3, {"a": 2}, hidden=(4,), task_hidden=(3,))
    assert sum(p.numel() for p in net.shared_parameters()) == sum(p.numel() for p in one.parameters())
    assert sum(p.numel() for p in net.task_parameters("b")) == 2 * 4
    net(torch.zeros(2, 3))
    assert net.features() is None


def test_tasks_differ_only_by_their_descriptors() -> None:
    torch.manual_seed(0)
    net = Additive.for_table(3, EQUAL, hidden=(4,), head="shared")
    x = torch.randn(5, 3)
    assert torch.equal(net(x)["a"], net(x)["b"])
    with torch.no_grad():
        next(net.task_parameters("b")).fill_(0.5)
    assert torch.equal(net(x)["a"], net(x)["c"])
    assert not torch.allclose(net(x)["a"], net(x)["b"])


def test_tasks_of_other_widths_are_named() -> None:
    with pytest.raises(SettingError, match=r"'a' has 2, 'c' has 3.*head='multi'"):
        Additive.for_table(3, {"a": 2, "b": 2, "c": 3}, head="shared")
    with pytest.raises(SettingError, match="'multi' or 'shared', got 'one'"):
        Additive.for_table(3, EQUAL, head="one")
