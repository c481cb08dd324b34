"""Random loss weighting."""

from __future__ import annotations

import numpy as np

from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_count
from polytask.balancing.simplex import softmax
from polytask.balancing.state import Draws


class RLW(LossBalancer):
    """``w = softmax(z)``, ``z ~ N(0, I)`` drawn anew in every step; the mean weights are equal.

    Lin, B., Ye, F., Zhang, Y., & Tsang, I. W. (2022). Reasonable effectiveness of random weighting: a litmus
    test for multi-task learning. Transactions on Machine Learning Research. Its normal distribution.

    Parameters
    ----------
    seed : int
        Ranks that train together need the same one.

    Raises
    ------
    SettingError
        For a seed that is not a whole number of at least 0.
    """

    name = "rlw"
    card = Card(
        "Lin, Ye, Zhang & Tsang 2022, Reasonable effectiveness of random weighting, TMLR",
        "w = softmax(z), z ~ N(0, I) in every step",
    )
    STATE = ("draws",)

    def __init__(self, seed: int = 0) -> None:
        self.draws = Draws(check_count("seed", seed, 0))

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        return softmax(self.draws.rng.standard_normal(len(tasks)))
