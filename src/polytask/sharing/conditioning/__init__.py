"""One network for all tasks that is told the task: by gates, concatenation, addition, or scale and shift."""

from polytask.sharing.conditioning.additive import Additive
from polytask.sharing.conditioning.concatenation import Concatenation
from polytask.sharing.conditioning.film import FiLM
from polytask.sharing.conditioning.gating import Gating

__all__ = ["Additive", "Concatenation", "FiLM", "Gating"]
