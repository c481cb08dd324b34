"""Data with several tasks: real ones, from packages that bring them along, and ones drawn from a formula."""

from polytask.datasets.bundled import chicago, london_schools, meats
from polytask.datasets.synthetic import mmoe_synthetic

__all__ = ["chicago", "london_schools", "meats", "mmoe_synthetic"]
