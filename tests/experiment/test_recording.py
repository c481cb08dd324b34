import warnings

import pytest

import polytask
from fakes import Fake, wide
from polytask.experiment.recording import recorded, warning_notes
from polytask.experiment.units import Unit


def test_distinct_messages_are_kept_and_none_is_shown(recwarn):
    with recorded() as messages:
        for _ in range(3):
            warnings.warn("not\n  converged", RuntimeWarning, stacklevel=1)
        warnings.warn("old name", FutureWarning, stacklevel=1)
    assert messages == ["not converged"]
    assert not recwarn.list


def test_messages_survive_an_error_and_filters_come_back():
    before = list(warnings.filters)

    def fails():
        warnings.warn("first", RuntimeWarning, stacklevel=1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), recorded() as messages:
        fails()
    assert messages == ["first"]
    assert warnings.filters == before


def test_one_note_a_candidate():
    units = [Unit(0, f, "lasso", warnings=["slow."] if f < 2 else []) for f in range(5)]
    units += [Unit(0, f, "ridge") for f in range(5)]
    assert warning_notes(units) == ["lasso: slow (in 2 of 5 folds)"]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_solvers_that_warn_become_one_note_of_the_comparison(recwarn, tmp_path, n_jobs):
    models = [Fake("apart", "single"), Fake("together", "sharing", warn="did not converge")]
    comparison = polytask.compare(wide(), models=models, folds=3, repeats=1, folder=tmp_path, n_jobs=n_jobs)
    assert comparison.notes == ["together: did not converge (in 3 of 3 folds)"]
    again = polytask.compare(wide(), models=models, folds=3, repeats=1, folder=tmp_path)
    assert again.notes == comparison.notes
    assert not recwarn.list
