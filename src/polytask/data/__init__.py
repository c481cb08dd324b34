"""Tables, targets and preprocessing: from what the user has to one internal form."""

from polytask.data.preprocessing import default_preprocessing
from polytask.data.taskdata import TaskData

__all__ = ["TaskData", "default_preprocessing"]
