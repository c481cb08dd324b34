"""How to read the report: the rule of the verdicts in plain words."""

from __future__ import annotations

from polytask.reporting.formats import count
from polytask.reporting.markup import Html, element
from polytask.reporting.sections.parts import Report, level_of, section


def reading(report: Report) -> Html:
    """The section; always there."""
    run = report.get("run") or {}
    level = level_of(report)
    folds = f"{count(run.get('folds'))}-fold " if run.get("folds") else ""
    points = [
        (
            "Fair to both sides.",
            f" Every row is predicted by models that never saw it ({folds}cross-validation). Both sides get "
            "the same folds, seeds and tuning effort, and each picks its best candidate on inner validation data only, so the "
            "winner is not the luckiest of many.",
        ),
        (
            "Gain.",
            " The loss of the same row under the single-task side minus that under the sharing side, averaged, in per cent "
            "of the single-task loss. Positive means that sharing predicts better.",
        ),
        (
            "Verdict per task.",
            f" Helped or hurt when the p-value of these paired differences, corrected by Holm for the number "
            f"of tasks, is below {1 - level:.3g}; otherwise no difference was shown, which is not proof of none. Intervals are "
            "not corrected: one may leave out zero where the verdict is still open.",
        ),
        (
            "Overall verdict.",
            " The same rule on the mean over tasks of the differences, each relative to its task’s loss. It has "
            "more power than any single task.",
        ),
        (
            "Rows to settle.",
            " How many rows would decide an open verdict with a power of 80 %, if the gain seen is the true one.",
        ),
        (
            "The best model",
            " uses the winning side; tasks with a verdict against it keep a model of the other side.",
        ),
    ]
    return section(
        "reading",
        "How to read it",
        element("ul", *(element("li", element("strong", a), b) for a, b in points)),
    )
