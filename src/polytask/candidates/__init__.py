"""Families of models that take part in a comparison, by name."""

from polytask.candidates.base import Candidate
from polytask.candidates.catalogue import default_candidates, named_candidates
from polytask.candidates.multi_output import MultiOutput
from polytask.candidates.per_task import PerTask
from polytask.candidates.pooled import Pooled

__all__ = ["Candidate", "MultiOutput", "PerTask", "Pooled", "default_candidates", "named_candidates"]
