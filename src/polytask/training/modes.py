"""Switching between training and evaluation at little cost."""

from __future__ import annotations

from torch import nn


class Modes:
    """A network's switch.

    `Module.train` takes milliseconds where many tasks have networks of their own, more than a step does.

    Parameters
    ----------
    network : Module
        Its modules are looked up once.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.modules = list(network.modules())
        #: A module with a `train` of its own may do more than set the flag, and gets to.
        self.plain = all(type(module).train is nn.Module.train for module in self.modules)

    def train(self) -> None:
        self._set(True)

    def eval(self) -> None:
        self._set(False)

    def _set(self, training: bool) -> None:
        if not self.plain:
            self.network.train(training)
            return
        for module in self.modules:
            module.__dict__["training"] = training
