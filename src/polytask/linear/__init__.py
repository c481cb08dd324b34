"""Linear multi-task models as scikit-learn estimators, fitted from moments of the data."""

from polytask.linear.accumulate import MomentsAccumulator
from polytask.linear.estimators.block_norm import BlockNormLasso, BlockNormLassoCV
from polytask.linear.estimators.clustered import ConvexClustered, ConvexClusteredCV
from polytask.linear.estimators.dirty import DirtyModel, DirtyModelCV
from polytask.linear.estimators.distributed_mtrl import DistributedMTRL
from polytask.linear.estimators.elastic_net import TaskElasticNet, TaskElasticNetCV
from polytask.linear.estimators.fused import FusedTasks, FusedTasksCV
from polytask.linear.estimators.graph import GraphRegularized, GraphRegularizedCV
from polytask.linear.estimators.group_elastic_net import GroupElasticNet, GroupElasticNetCV
from polytask.linear.estimators.group_lasso import GroupLasso, GroupLassoCV, group_lasso_path
from polytask.linear.estimators.group_mcp import GroupMCP, GroupMCPCV
from polytask.linear.estimators.group_scad import GroupSCAD, GroupSCADCV
from polytask.linear.estimators.lasso import TaskLasso, TaskLassoCV
from polytask.linear.estimators.mean_regularized import (
    MeanRegularized,
    MeanRegularizedCV,
    evgeniou_pontil_penalties,
)
from polytask.linear.estimators.mrce import MRCE, MRCECV
from polytask.linear.estimators.mrrce import MrRCE, MrRCECV
from polytask.linear.estimators.mtrl import MTRL, MTRLCV
from polytask.linear.estimators.reduced_rank import ReducedRank, ReducedRankCV
from polytask.linear.estimators.ridge import TaskRidge, TaskRidgeCV
from polytask.linear.estimators.robust_features import RobustFeatures, RobustFeaturesCV
from polytask.linear.estimators.robust_tasks import RobustTasks, RobustTasksCV
from polytask.linear.estimators.sparse_group import SparseGroupLasso, SparseGroupLassoCV
from polytask.linear.estimators.trace_norm import TraceNorm, TraceNormCV
from polytask.linear.folds import FoldMoments, fold_moments, split_rows
from polytask.linear.moments import Moments
from polytask.linear.paths import CoefPath
from polytask.linear.registry import LINEAR_MODELS, capability_rows
from polytask.linear.rolling import RollingFits, rolling_cv
from polytask.linear.selection import CVErrors, cv_errors
from polytask.linear.table import LabelledTable

__all__ = [
    "LINEAR_MODELS",
    "MRCE",
    "MRCECV",
    "MTRL",
    "MTRLCV",
    "BlockNormLasso",
    "BlockNormLassoCV",
    "CVErrors",
    "CoefPath",
    "ConvexClustered",
    "ConvexClusteredCV",
    "DirtyModel",
    "DirtyModelCV",
    "DistributedMTRL",
    "FoldMoments",
    "FusedTasks",
    "FusedTasksCV",
    "GraphRegularized",
    "GraphRegularizedCV",
    "GroupElasticNet",
    "GroupElasticNetCV",
    "GroupLasso",
    "GroupLassoCV",
    "GroupMCP",
    "GroupMCPCV",
    "GroupSCAD",
    "GroupSCADCV",
    "LabelledTable",
    "MeanRegularized",
    "MeanRegularizedCV",
    "Moments",
    "MomentsAccumulator",
    "MrRCE",
    "MrRCECV",
    "ReducedRank",
    "ReducedRankCV",
    "RobustFeatures",
    "RobustFeaturesCV",
    "RobustTasks",
    "RobustTasksCV",
    "RollingFits",
    "SparseGroupLasso",
    "SparseGroupLassoCV",
    "TaskElasticNet",
    "TaskElasticNetCV",
    "TaskLasso",
    "TaskLassoCV",
    "TaskRidge",
    "TaskRidgeCV",
    "TraceNorm",
    "TraceNormCV",
    "capability_rows",
    "cv_errors",
    "evgeniou_pontil_penalties",
    "fold_moments",
    "group_lasso_path",
    "rolling_cv",
    "split_rows",
]
