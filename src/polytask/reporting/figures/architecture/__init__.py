"""What an architecture is made of, as a picture.

`columns` says which column each task has, `boxes` what is drawn, `rows` on which level, `routes` how lines
get past boxes, `geometry` where everything is in pixels, `shapes` what
kinds look like, `picture` puts it together.
"""

from polytask.reporting.figures.architecture.picture import drawing
from polytask.reporting.figures.architecture.shapes import STYLE

__all__ = ["STYLE", "drawing"]
