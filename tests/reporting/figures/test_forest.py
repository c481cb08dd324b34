from __future__ import annotations

import re

import pytest

from polytask.reporting.figures.forest import BARE, forest


def verdict(name, gain, low, high, word="no difference"):
    return {"task": name, "gain_percent": gain, "low_percent": low, "high_percent": high, "verdict": word}


def rows(markup):
    return re.findall(r"<tr.*?</tr>", markup)[1:]


def place(percent):
    return float(percent.rstrip("%"))


def test_marks_lie_where_the_axis_says():
    made = forest(verdict("overall", 2.0, 0.0, 4.0), [verdict("a", 4.0, 2.0, 6.0, "helped")], 0.95)
    overall, a = rows(made)
    zero = place(re.search(r'x1="([\d.]+%)"[^>]*class="zero"', a)[1])
    low, high = (place(x) for x in re.search(r'x1="([\d.]+%)" x2="([\d.]+%)" y1="50%"', a).groups())
    middle = place(re.search(r'cx="([\d.]+%)"', a)[1])
    unit = (high - low) / 4
    assert middle == pytest.approx((low + high) / 2, abs=0.02)
    assert zero == pytest.approx(low - 2 * unit, abs=0.02)
    diamond = place(re.search(r'<svg x="([\d.]+%)"', overall)[1])
    assert diamond == pytest.approx(zero + 2 * unit, abs=0.02)


def test_rows_keep_the_order_and_say_verdicts_in_words_and_tone():
    made = forest(
        verdict("overall", 1, 0, 2), [verdict("b", 3, 1, 5, "helped"), verdict("a", -3, -5, -1, "hurt")], 0.9
    )
    overall, b, a = rows(made)
    assert "Overall" in overall
    assert b.startswith('<tr class="helped"')
    assert ">helped<" in b
    assert a.startswith('<tr class="hurt"')
    assert "−5.0 to −1.0" in a
    assert "90\u00a0% interval" in made


def test_an_arrow_marks_an_interval_that_leaves_the_axis():
    calm = [verdict(f"t{k}", 1, 0, 2) for k in range(9)]
    made = rows(forest(verdict("overall", 1, 0, 2), [*calm, verdict("wild", 1, -500, 500)], 0.95))
    assert [row.count("<path") for row in made[1:]] == [0] * 9 + [2]


def test_a_task_without_numbers_has_an_empty_row():
    made = rows(forest(verdict("overall", 1, 0, 2), [verdict("void", None, None, None)], 0.95))[1]
    assert "circle" not in made
    assert ">–<" in made


def test_hundreds_of_tasks_share_one_row():
    tasks = [verdict(f"t{k}", 100 - k, 90 - k, 110 - k) for k in range(BARE + 1)]
    made = forest(verdict("overall", 1, 0, 2), tasks, 0.95)
    assert len(rows(made)) == 2
    assert made.count("<circle") == BARE + 1
    assert "<title>t7: +93.0\u00a0%" in made
