"""Balancers that look at the tasks' gradients; one method a file."""

from polytask.balancing.gradients.aligned_mtl import AlignedMTL
from polytask.balancing.gradients.cagrad import CAGrad
from polytask.balancing.gradients.config import ConFIG
from polytask.balancing.gradients.db_mtl import DBMTL
from polytask.balancing.gradients.fairgrad import FairGrad
from polytask.balancing.gradients.graddrop import GradDrop
from polytask.balancing.gradients.gradnorm import GradNorm
from polytask.balancing.gradients.gradvac import GradVac
from polytask.balancing.gradients.imtl_g import IMTLG
from polytask.balancing.gradients.mgda import MGDA, MGDAUB
from polytask.balancing.gradients.nash_mtl import NashMTL
from polytask.balancing.gradients.pcgrad import PCGrad
from polytask.balancing.gradients.upgrad import UPGrad

__all__ = [
    "DBMTL",
    "IMTLG",
    "MGDA",
    "MGDAUB",
    "AlignedMTL",
    "CAGrad",
    "ConFIG",
    "FairGrad",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "NashMTL",
    "PCGrad",
    "UPGrad",
]
