"""What results look like: HTML pages and tables on a terminal, all drawn from plain data."""

from polytask.reporting.balancing import render_balancing, write_balancing
from polytask.reporting.html import render_html, write_html
from polytask.reporting.linear import render_linear, write_linear
from polytask.reporting.sharing import render_sharing, sharing_svg, write_sharing
from polytask.reporting.terminal import print_comparison

__all__ = [
    "print_comparison",
    "render_balancing",
    "render_html",
    "render_linear",
    "render_sharing",
    "sharing_svg",
    "write_balancing",
    "write_html",
    "write_linear",
    "write_sharing",
]
