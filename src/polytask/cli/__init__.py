"""The command line: `polytask compare | fit | predict`. Nothing heavy is imported before it is needed."""

from polytask.cli.main import main

__all__ = ["main"]
