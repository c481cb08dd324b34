"""How to read the report: the rule of the verdicts in plain words."""

from __future__ import annotations

from polytask.reporting.formats import count
from polytask.reporting.markup import Html, element
from polytask.reporting.sections.parts import Report, level_of, section

_FAIR = (
    " Every row is predicted by models that never saw it{folds}. Both sides get the same folds, seeds and "
    "tuning effort, and each picks its best candidate on inner validation data only: the winner is not the "
    "luckiest of many."
)
_GAIN = (
    " The loss of the same row under the single-task side minus that under the sharing side, averaged, in "
    "per cent of the single-task loss. Positive means that sharing predicts better."
)
_VERDICT = (
    " Helped or hurt when the p-value of these paired differences, corrected by Holm for the number of "
    "tasks, is below {limit:.3g}; otherwise no difference was shown, which is not proof of none. Intervals "
    "are not corrected: one may leave out zero where the verdict is still open."
)
_OVERALL = (
    " The same rule on the mean over tasks of the differences, each relative to its task’s loss. It has "
    "more power than any single task."
)
_SETTLE = (
    " How many rows would decide an open verdict with a power of 80 %, if the gain seen is the true one."
)
_MODEL = " uses the winning side; tasks with a verdict against it keep a model of the other side."


def reading(report: Report) -> Html:
    """The section; always there."""
    n_folds = (report.get("run") or {}).get("folds")
    folds = f" ({count(n_folds)} outer folds)" if n_folds else ""
    points = (
        ("Fair to both sides.", _FAIR.format(folds=folds)),
        ("Gain.", _GAIN),
        ("Verdict per task.", _VERDICT.format(limit=1 - level_of(report))),
        ("Overall verdict.", _OVERALL),
        ("Rows to settle.", _SETTLE),
        ("The best model", _MODEL),
    )
    items = [element("li", element("strong", term), text) for term, text in points]
    return section("reading", "How to read it", element("ul", *items))
