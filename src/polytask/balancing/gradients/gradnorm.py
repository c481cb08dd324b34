"""GradNorm: weights learned so that all tasks train at similar rates."""

from __future__ import annotations

import numpy as np

from polytask.balancing.adam import Moments, adam_change
from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_losses, check_positive, is_number
from polytask.balancing.state import PerTask
from polytask.errors import SettingError

#: A weight never falls below this: at zero the norm has a kink beyond which gradients would be reversed.
LEAST = 1e-3


class GradNorm(GramianBalancer):
    """Learns w by Adam on ``Σ_t |G_t − Ḡ r_t^α|``, ``G_t = ‖w_t g_t‖``; ``d = Σ_t w_t g_t``, ``Σ_t w_t = T``.

    Ḡ is the mean of G_t, ``r_t = L̃_t / mean L̃`` and ``L̃_t = L_t/L_t(0)``: tasks that have improved least are
    given the largest gradients. The targets Ḡ r_t^α are constants in the derivative, so it is
    ``±‖g_t‖``. A step uses the weights before the update. Gradients are those of the last shared layer.

    Tasks that are absent keep their weight; the others' are scaled so that the total stays T.

    Parameters
    ----------
    alpha : float
        α: how strongly tasks that lag behind are favoured. The paper's 1.5.
    lr : float
        Learning rate of the weights; the paper's 0.025.
    gradients, update_every
        See `GramianBalancer`.

    Raises
    ------
    SettingError
        For a setting outside its range.
    TrainingError
        For a loss that is not positive.

    See Chen, Z., Badrinarayanan, V., Lee, C.-Y., Rabinovich, A. (2018). GradNorm: gradient normalization for
    adaptive loss balancing in deep multitask networks. ICML, algorithm 1. Weights are kept above 0.001, which
    the paper does not say.
    """

    name = "gradnorm"
    card = Card(
        "Chen et al. 2018, GradNorm, ICML",
        "min_w Σ_t |‖w_t g_t‖ − Ḡ r_t^α|, Σ_t w_t = T",
        backward="1 + a sweep of T to the last shared layer",
    )
    layer = "last"
    STATE = ("first", "learned", "moments")

    def __init__(
        self, alpha: float = 1.5, lr: float = 0.025, gradients: str = "parameters", update_every: int = 1
    ) -> None:
        super().__init__(gradients, update_every)
        if not (is_number(alpha) and alpha >= 0):
            raise SettingError(f"alpha must be at least 0, got {alpha!r}.")
        check_positive("lr", lr)
        self.alpha, self.lr = float(alpha), float(lr)
        #: L_t(0) and w_t, by task.
        self.first, self.learned = PerTask(), PerTask()
        self.moments: Moments = {}

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        check_losses(self.name, tasks, losses, zero=False)
        for task, loss in zip(tasks, losses.tolist()):
            self.first.setdefault(task, loss)
        norms = np.sqrt(np.diag(gramian))
        w = self.learned.read(tasks, 1.0)
        ratio = losses / self.first.read(tasks)
        rate = ratio / ratio.mean()
        target = (w * norms).mean() * rate**self.alpha
        slope = np.sign(w * norms - target) * norms
        new = np.maximum(w + adam_change(self.moments, tasks, slope, self.lr), LEAST)
        self.learned.write(tasks, new * (w.sum() / new.sum()))
        return w
