"""Sections of the HTML report, one a file; each takes the report's plain data and returns markup or None."""
