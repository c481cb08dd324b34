"""Mixtures of experts: each task weighs, row by row, the outputs of networks that it shares with others."""

from polytask.sharing.mixture.cgc import CGC
from polytask.sharing.mixture.dselect_k import DSelectK
from polytask.sharing.mixture.mmoe import MMoE
from polytask.sharing.mixture.ple import PLE

__all__ = ["CGC", "PLE", "DSelectK", "MMoE"]
