import numpy as np
import pytest
from scipy import stats

from polytask.evaluation.significance import Interval, difference_interval, holm, rows_to_settle

rng = np.random.default_rng(0)


def test_one_column_is_the_t_test():
    d = rng.normal(0.3, 1, 40)
    mine, theirs = difference_interval(d), stats.ttest_1samp(d, 0)
    low, high = theirs.confidence_interval(0.95)
    np.testing.assert_allclose(
        [mine.estimate, mine.p, mine.low, mine.high], [d.mean(), theirs.pvalue, low, high]
    )


def test_columns_of_a_row_may_depend_on_each_other():
    d = rng.normal(size=(50, 1)) + np.zeros((50, 4))
    one, four = difference_interval(d[:, :1]), difference_interval(d)
    np.testing.assert_allclose(four.standard_error, one.standard_error)


def test_own_rows_add_up_independently():
    """Two tasks on disjoint rows: the variance of the mean of means is the mean of variances over two."""
    d = np.full((60, 2), np.nan)
    d[:20, 0], d[20:, 1] = rng.normal(size=20), rng.normal(size=40)
    variance = (d[:20, 0].var() / 20 + d[20:, 1].var() / 40) / 4 * 60 / 59
    np.testing.assert_allclose(difference_interval(d).standard_error ** 2, variance)


def test_rows_of_a_cluster_count_once():
    d = np.repeat(rng.normal(size=25), 4)
    clustered = difference_interval(d, np.repeat(np.arange(25), 4))
    np.testing.assert_allclose(clustered.standard_error, difference_interval(d[::4]).standard_error)
    assert clustered.n == 25


def test_equal_losses_are_no_difference():
    same = difference_interval(np.zeros(10))
    assert (same.p, same.low, same.high) == (1.0, 0.0, 0.0)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).max() == 1.0


def test_rows_to_settle_has_the_power_it_says():
    interval = difference_interval(rng.normal(0.1, 1, 50))
    n = int(rows_to_settle(interval))
    effect, sd = interval.estimate, interval.standard_error * np.sqrt(50)
    found = [stats.ttest_1samp(rng.normal(effect, sd, n), 0).pvalue < 0.05 for _ in range(400)]
    assert 0.72 < np.mean(found) < 0.88


def test_rows_to_settle_nothing():
    assert rows_to_settle(Interval(0.0, -1, 1, 1.0, 0.5, 10)) == float("inf")


@pytest.mark.slow
def test_the_interval_covers_on_independent_rows():
    hits = [
        i.low <= 0 <= i.high
        for i in (difference_interval(rng.standard_t(5, size=(30, 3))) for _ in range(4000))
    ]
    assert 0.94 < np.mean(hits) < 0.96
