"""Fully-adaptive feature sharing: networks that find out which tasks share which layers."""

from polytask.training.widening.procedure import Widened, Widening, thin_start, widen
from polytask.training.widening.thin import Thin, somp, thin_encoder

__all__ = ["Thin", "Widened", "Widening", "somp", "thin_encoder", "thin_start", "widen"]
