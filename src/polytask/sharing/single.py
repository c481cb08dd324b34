"""Single-task learning: T independent networks, trained together as one batched computation."""

from __future__ import annotations

from polytask.sharing.cards import Card
from polytask.sharing.networks import TaskNetworks


class SingleTask(TaskNetworks):
    """``y_t = h_t(f_t(x))``: nothing is shared. The baseline of every comparison.

    Parameters are those of `polytask.sharing.networks.TaskNetworks`.
    """

    name = "single"
    card = Card(
        "the baseline",
        "y_t = h_t(f_t(x))",
        "nothing",
    )
