"""All linear models by name, and what each can take as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from polytask.linear.base import LinearTaskModel
from polytask.linear.estimators.block_norm import BlockNormLasso, BlockNormLassoCV
from polytask.linear.estimators.clustered import ConvexClustered, ConvexClusteredCV
from polytask.linear.estimators.dirty import DirtyModel, DirtyModelCV
from polytask.linear.estimators.distributed_mtrl import DistributedMTRL
from polytask.linear.estimators.elastic_net import TaskElasticNet, TaskElasticNetCV
from polytask.linear.estimators.fused import FusedTasks, FusedTasksCV
from polytask.linear.estimators.graph import GraphRegularized, GraphRegularizedCV
from polytask.linear.estimators.group_elastic_net import GroupElasticNet, GroupElasticNetCV
from polytask.linear.estimators.group_lasso import GroupLasso, GroupLassoCV
from polytask.linear.estimators.group_mcp import GroupMCP, GroupMCPCV
from polytask.linear.estimators.group_scad import GroupSCAD, GroupSCADCV
from polytask.linear.estimators.lasso import TaskLasso, TaskLassoCV
from polytask.linear.estimators.mean_regularized import MeanRegularized, MeanRegularizedCV
from polytask.linear.estimators.mrce import MRCE, MRCECV
from polytask.linear.estimators.mrrce import MrRCE, MrRCECV
from polytask.linear.estimators.mtrl import MTRL, MTRLCV
from polytask.linear.estimators.reduced_rank import ReducedRank, ReducedRankCV
from polytask.linear.estimators.ridge import TaskRidge, TaskRidgeCV
from polytask.linear.estimators.robust_features import RobustFeatures, RobustFeaturesCV
from polytask.linear.estimators.robust_tasks import RobustTasks, RobustTasksCV
from polytask.linear.estimators.sparse_group import SparseGroupLasso, SparseGroupLassoCV
from polytask.linear.estimators.trace_norm import TraceNorm, TraceNormCV


class Entry(NamedTuple):
    """A model with given penalties, and the one that chooses them (None where there is none)."""

    fixed: type[LinearTaskModel]
    chosen: type[LinearTaskModel] | None


#: By the name that `compare` and tables use.
LINEAR_MODELS: dict[str, Entry] = {
    "ridge": Entry(TaskRidge, TaskRidgeCV),
    "lasso": Entry(TaskLasso, TaskLassoCV),
    "elastic net": Entry(TaskElasticNet, TaskElasticNetCV),
    "group lasso": Entry(GroupLasso, GroupLassoCV),
    "group elastic net": Entry(GroupElasticNet, GroupElasticNetCV),
    "block norm": Entry(BlockNormLasso, BlockNormLassoCV),
    "sparse group lasso": Entry(SparseGroupLasso, SparseGroupLassoCV),
    "group MCP": Entry(GroupMCP, GroupMCPCV),
    "group SCAD": Entry(GroupSCAD, GroupSCADCV),
    "mean-regularized": Entry(MeanRegularized, MeanRegularizedCV),
    "graph": Entry(GraphRegularized, GraphRegularizedCV),
    "fused": Entry(FusedTasks, FusedTasksCV),
    "clustered": Entry(ConvexClustered, ConvexClusteredCV),
    "trace norm": Entry(TraceNorm, TraceNormCV),
    "reduced rank": Entry(ReducedRank, ReducedRankCV),
    "dirty model": Entry(DirtyModel, DirtyModelCV),
    "robust tasks": Entry(RobustTasks, RobustTasksCV),
    "robust features": Entry(RobustFeatures, RobustFeaturesCV),
    "MTRL": Entry(MTRL, MTRLCV),
    "distributed MTRL": Entry(DistributedMTRL, None),
    "MRCE": Entry(MRCE, MRCECV),
    "MrRCE": Entry(MrRCE, MrRCECV),
}


def capability_rows() -> Iterator[dict[str, str]]:
    """What each model can take: "yes", or the reason why not; the losses as a list of words."""
    for entry in LINEAR_MODELS.values():
        can = entry.fixed.can
        yield {
            "model": entry.fixed.__name__,
            "CV": "yes" if entry.chosen else "no",
            "penalties": ", ".join(entry.fixed.penalties),
            "losses": ", ".join(can.losses),
            "missing labels": can.missing or "yes",
            "own rows": can.own_rows or "yes",
            "positive": can.positive or "yes",
            "penalty factors": can.factors or "yes",
            "factors of 0": can.factors or can.unpenalised or "yes",
            "moments": can.moments or "yes",
        }
