"""scikit-learn style estimators over multi-task networks.

`MultiTaskNetwork` takes any mix of kinds, frames and missing labels; `MultiTaskRegressor` and
`MultiTaskClassifier` take arrays and follow scikit-learn to the letter.
"""

from polytask.networks.arrays import MultiTaskClassifier, MultiTaskRegressor
from polytask.networks.mixed import MultiTaskNetwork

__all__ = ["MultiTaskClassifier", "MultiTaskNetwork", "MultiTaskRegressor"]
