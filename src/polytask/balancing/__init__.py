"""How are the tasks' losses and gradients combined? One method a file."""

from polytask.balancing.base import Balancer
from polytask.balancing.by_gradients import GradientBalancer
from polytask.balancing.by_gramian import GramianBalancer
from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.balancing.engines import global_losses
from polytask.balancing.gradients import (
    DBMTL,
    IMTLG,
    MGDA,
    MGDAUB,
    AlignedMTL,
    CAGrad,
    ConFIG,
    FairGrad,
    GradDrop,
    GradNorm,
    GradVac,
    NashMTL,
    PCGrad,
    UPGrad,
)
from polytask.balancing.losses import (
    DWA,
    FAMO,
    IMTLL,
    RLW,
    STCH,
    Equal,
    Fixed,
    GeometricMean,
    ScaleInvariant,
    Uncertainty,
    WorstCase,
)
from polytask.balancing.registry import BALANCERS, balancing_methods, get_balancer
from polytask.balancing.task_losses import TaskLosses
from polytask.balancing.torchjd import from_torchjd
from polytask.balancing.watch import Watch

__all__ = [
    "BALANCERS",
    "DBMTL",
    "DWA",
    "FAMO",
    "IMTLG",
    "IMTLL",
    "MGDA",
    "MGDAUB",
    "RLW",
    "STCH",
    "AlignedMTL",
    "Balancer",
    "CAGrad",
    "Card",
    "ConFIG",
    "Equal",
    "FairGrad",
    "Fixed",
    "GeometricMean",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GradientBalancer",
    "GramianBalancer",
    "LossBalancer",
    "NashMTL",
    "PCGrad",
    "ScaleInvariant",
    "TaskLosses",
    "UPGrad",
    "Uncertainty",
    "Watch",
    "WorstCase",
    "balancing_methods",
    "from_torchjd",
    "get_balancer",
    "global_losses",
]
