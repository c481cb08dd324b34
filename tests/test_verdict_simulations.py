"""A few seeds of `benchmarks/verdicts.py`, where the truth is known; the full run has hundreds."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import verdicts

pytestmark = pytest.mark.filterwarnings("ignore::polytask.errors.PolytaskWarning")


def test_common_support_is_found_to_help_and_to_hurt_nobody():
    for seed in range(2):
        found = verdicts.tally(seed, 200, True, verdicts.FORCED, 1)
        assert found["overall"] == "helped"
        assert found["hurt"] == 0


def test_sharing_supports_that_differ_hurts_when_it_is_the_only_way_to_share():
    assert [verdicts.tally(seed, 200, False, verdicts.FORCED, 1)["overall"] for seed in range(2)].count(
        "hurt"
    ) >= 1


def test_equal_procedures_rarely_get_a_verdict():
    """At 5 % there would be more than 4 of 20 false verdicts once in 400 runs of this test."""
    assert sum(verdicts.null(seed)["false"] for seed in range(20)) <= 4


def test_intervals_hold_the_truth():
    runs = [verdicts.coverage(seed, 40, ["ridge", "lasso", "group lasso"]) for seed in range(1000, 1008)]
    assert sum(r["overall"] for r in runs) >= 6


def test_the_true_risk_is_the_one_of_many_fresh_rows():
    """The oracle itself: coefficients read from probes give the loss on simulated rows."""
    from polytask.candidates import named_candidates
    from polytask.experiment.units import prepare

    data, B, _ = verdicts.simulate(0, 60, common=True, p=12, q=2)
    candidate = named_candidates(["ridge"])[0]
    setting = {"alpha": [3.0, 3.0]}
    risk = verdicts.true_risk(candidate, setting, data, B, 0)
    part, transformer, scaler = prepare(data, None)
    model = candidate.fit(part, setting, 0)
    X = np.random.default_rng(1).normal(size=(200_000, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predicted = scaler.inverse(model.predict_tasks(transformer.transform(X)))
    fresh = [np.mean((predicted[t] - X @ B[:, k]) ** 2) for k, t in enumerate(data.task_names)]
    np.testing.assert_allclose(risk, fresh, rtol=0.02)
