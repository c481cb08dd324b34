"""Which parameters are shared? One architecture a file."""

from polytask.sharing.adashare import AdaShare
from polytask.sharing.attention import MTAN
from polytask.sharing.base import Sharing
from polytask.sharing.branched import Branched
from polytask.sharing.conditioning import Additive, Concatenation, FiLM, Gating
from polytask.sharing.cross_stitch import CrossStitch
from polytask.sharing.encoders import mlp
from polytask.sharing.hard import HardSharing
from polytask.sharing.hierarchical import Hierarchical
from polytask.sharing.mixture import CGC, PLE, DSelectK, MMoE
from polytask.sharing.parallel import Parallel, ParallelLinear, parallel
from polytask.sharing.parts import Matrix, Part
from polytask.sharing.registry import SHARINGS, get_sharing, sharing_methods
from polytask.sharing.relationship import Relationship
from polytask.sharing.single import SingleTask
from polytask.sharing.sluice import Sluice
from polytask.sharing.soft import SoftSharing
from polytask.sharing.stacked import Stacked
from polytask.sharing.trace_norm import TraceNormSharing

__all__ = [
    "CGC",
    "MTAN",
    "PLE",
    "SHARINGS",
    "AdaShare",
    "Additive",
    "Branched",
    "Concatenation",
    "CrossStitch",
    "DSelectK",
    "FiLM",
    "Gating",
    "HardSharing",
    "Hierarchical",
    "MMoE",
    "Matrix",
    "Parallel",
    "ParallelLinear",
    "Part",
    "Relationship",
    "Sharing",
    "SingleTask",
    "Sluice",
    "SoftSharing",
    "Stacked",
    "TraceNormSharing",
    "get_sharing",
    "mlp",
    "parallel",
    "sharing_methods",
]
