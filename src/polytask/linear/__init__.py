"""Linear multi-task models as scikit-learn estimators, fitted from moments of the data."""

from polytask.linear.folds import FoldMoments, fold_moments, split_rows
from polytask.linear.group_lasso import GroupLasso, GroupLassoCV, group_lasso_path
from polytask.linear.lasso import TaskLasso, TaskLassoCV
from polytask.linear.mean_regularized import (
    MeanRegularized,
    MeanRegularizedCV,
    evgeniou_pontil_penalties,
)
from polytask.linear.moments import Moments
from polytask.linear.paths import CoefPath
from polytask.linear.ridge import TaskRidge, TaskRidgeCV
from polytask.linear.selection import CVErrors, cv_errors
from polytask.linear.table import LabelledTable

__all__ = [
    "CVErrors",
    "CoefPath",
    "FoldMoments",
    "GroupLasso",
    "GroupLassoCV",
    "LabelledTable",
    "MeanRegularized",
    "MeanRegularizedCV",
    "Moments",
    "TaskLasso",
    "TaskLassoCV",
    "TaskRidge",
    "TaskRidgeCV",
    "cv_errors",
    "evgeniou_pontil_penalties",
    "fold_moments",
    "group_lasso_path",
    "split_rows",
]
