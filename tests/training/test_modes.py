from __future__ import annotations

from torch import nn

from polytask.training.modes import Modes


class Own(nn.Module):
    """Does more than set the flag."""

    calls = 0

    def train(self, mode: bool = True) -> Own:
        self.calls += 1
        return super().train(mode)


def test_all_modules_are_switched() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2)))
    modes = Modes(network)
    for switch, expected in ((modes.eval, False), (modes.train, True)):
        switch()
        assert [m.training for m in network.modules()] == [expected] * 5


def test_a_modules_own_switch_is_called() -> None:
    network = nn.Sequential(Own(), nn.Dropout())
    modes = Modes(network)
    modes.eval()
    assert network[0].calls == 1
    assert not network[0].training
    assert not network[1].training
