"""What a comparison looks like: an HTML report and tables on a terminal, both drawn from plain data."""

from polytask.reporting.html import render_html, write_html
from polytask.reporting.terminal import print_comparison

__all__ = ["print_comparison", "render_html", "write_html"]
