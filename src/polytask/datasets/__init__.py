"""Real data with several tasks, from packages that bring it along."""

from polytask.datasets.bundled import chicago, london_schools, meats

__all__ = ["chicago", "london_schools", "meats"]
