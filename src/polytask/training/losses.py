"""Losses per row of the kinds of tasks, on the network's raw outputs.

Each takes outputs and targets of shape (…, k) and returns (…, k): one loss per output; the multiclass ones
return (…, 1): one loss per row. Targets may be probabilities (soft labels).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from polytask.tasks import HUBER_DELTA

Loss = Callable[[Tensor, Tensor], Tensor]

#: γ of the focal loss, the value of the paper.
FOCAL_GAMMA = 2.0


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """``(o − y)²``."""
    return (output - target) ** 2


def absolute_error(output: Tensor, target: Tensor) -> Tensor:
    """``|o − y|``."""
    return (output - target).abs()


def huber(output: Tensor, target: Tensor) -> Tensor:
    """``½ r²`` for ``|r| ≤ δ``, else ``δ (|r| − ½ δ)`` (Huber 1964)."""
    return F.huber_loss(output, target, reduction="none", delta=HUBER_DELTA)


def binary_log_loss(output: Tensor, target: Tensor) -> Tensor:
    """``−y log σ(o) − (1 − y) log(1 − σ(o))``."""
    return F.binary_cross_entropy_with_logits(output, target, reduction="none")


def binary_focal(output: Tensor, target: Tensor) -> Tensor:
    """``−y (1 − p)^γ log p − (1 − y) p^γ log(1 − p)`` (Lin et al. 2017, Focal loss …, ICCV)."""
    log_p, log_q = F.logsigmoid(output), F.logsigmoid(-output)
    return -(
        target * torch.exp(FOCAL_GAMMA * log_q) * log_p
        + (1 - target) * torch.exp(FOCAL_GAMMA * log_p) * log_q
    )


def binary_brier(output: Tensor, target: Tensor) -> Tensor:
    """``(σ(o) − y)²`` (Brier 1950)."""
    return (torch.sigmoid(output) - target) ** 2


def multiclass_log_loss(output: Tensor, target: Tensor) -> Tensor:
    """``−Σ_c y_c log softmax(o)_c``."""
    return -(target * F.log_softmax(output, -1)).sum(-1, keepdim=True)


def multiclass_focal(output: Tensor, target: Tensor) -> Tensor:
    """``−Σ_c y_c (1 − p_c)^γ log p_c``."""
    log_p = F.log_softmax(output, -1)
    return -(target * (1 - log_p.exp()) ** FOCAL_GAMMA * log_p).sum(-1, keepdim=True)


def multiclass_brier(output: Tensor, target: Tensor) -> Tensor:
    """``Σ_c (p_c − y_c)²``."""
    return ((torch.softmax(output, -1) - target) ** 2).sum(-1, keepdim=True)


def poisson(output: Tensor, target: Tensor) -> Tensor:
    """``e^o − y o + y log y − y``: half of the Poisson deviance of the log-rate o.

    The negative log-likelihood up to what does not depend on o, and zero for a perfect fit: some ways of
    balancing tasks look at ratios or logarithms of losses.
    """
    return torch.exp(output) - target * output + torch.xlogy(target, target) - target


def rate_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """``(e^o − y)²``: squared error of the rate."""
    return (torch.exp(output) - target) ** 2


#: (kind, name of the loss) → function.
LOSS_FUNCTIONS: dict[tuple[str, str], Loss] = {
    ("regression", "squared_error"): squared_error,
    ("regression", "absolute_error"): absolute_error,
    ("regression", "huber"): huber,
    ("binary", "log_loss"): binary_log_loss,
    ("binary", "focal"): binary_focal,
    ("binary", "brier"): binary_brier,
    ("multilabel", "log_loss"): binary_log_loss,
    ("multilabel", "focal"): binary_focal,
    ("multilabel", "brier"): binary_brier,
    ("multiclass", "log_loss"): multiclass_log_loss,
    ("multiclass", "focal"): multiclass_focal,
    ("multiclass", "brier"): multiclass_brier,
    ("counts", "poisson"): poisson,
    ("counts", "squared_error"): rate_squared_error,
}
