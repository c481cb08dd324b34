"""A fingerprint changes with anything that changes a result, and with nothing else."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from fakes import fakes, wide
from polytask import Task
from polytask.candidates import named_candidates
from polytask.evaluation.folds import make_folds
from polytask.experiment.fingerprint import describe, fingerprint
from polytask.experiment.units import Plan


def plan(data=None, models=None, **changes):
    data = wide() if data is None else data
    candidates = tuple(named_candidates(models) if models else fakes())
    return replace(Plan(data, candidates, (tuple(make_folds(data, 3, 0)),), None, 0, 3, 4), **changes)


def test_equal_plans_agree():
    assert fingerprint(plan()) == fingerprint(plan())
    assert fingerprint(plan(models=["ridge", "forest"])) == fingerprint(plan(models=["ridge", "forest"]))


@pytest.mark.parametrize(
    "other",
    [
        lambda: plan(wide(seed=1)),
        lambda: plan(wide(tasks=[Task("t0", "regression", loss="absolute_error")])),
        lambda: plan(wide(sample_weight=np.arange(60) % 3 + 1)),
        lambda: plan(seed=1),
        lambda: plan(settings=2),
        lambda: plan(inner_folds=2),
        lambda: plan(preprocessing=StandardScaler()),
        lambda: plan(models=["ridge"]),
        lambda: plan(folds=(tuple(make_folds(wide(), 4, 0)),)),
    ],
)
def test_whatever_matters_changes_it(other):
    assert fingerprint(other()) != fingerprint(plan())


def test_groups_matter_beyond_the_outer_folds():
    """Two groupings with the same outer folds have other inner ones."""
    data = wide(groups=np.arange(60) // 10)
    other = wide(groups=np.arange(60) // 5)
    folds = (tuple(make_folds(data, 3, 0)),)
    assert fingerprint(plan(data, folds=folds)) != fingerprint(plan(other, folds=folds))


def test_the_users_own_estimators_count_with_their_settings():
    one, two = (fingerprint(plan(models=[("mine", Ridge(alpha=a)), "group lasso"])) for a in (1.0, 2.0))
    assert one != two


def test_functions_with_one_name_differ_by_their_code():
    assert describe(lambda t: 1) != describe(lambda t: 2)


def test_it_is_the_same_in_another_process():
    code = (
        "from test_fingerprint import plan; from polytask.experiment.fingerprint import fingerprint;"
        "print(fingerprint(plan(models=['ridge', 'relaxed lasso', 'forest', 'pooled boosting', 'network'])))"
    )
    here = Path(__file__).parent
    path = f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}];"
    run = subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, check=True)
    names = ["ridge", "relaxed lasso", "forest", "pooled boosting", "network"]
    assert run.stdout.strip() == fingerprint(plan(models=names))
