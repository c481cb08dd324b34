from __future__ import annotations

import io
import sys

from polytask.reporting import print_comparison
from polytask.reporting.terminal import ROWS


class Screen(io.StringIO):
    def isatty(self):
        return True


def printed(report, file=None):
    file = io.StringIO() if file is None else file
    print_comparison(report, file)
    return file.getvalue()


def test_the_verdict_comes_first_and_the_text_is_plain(report):
    text = printed(report)
    assert text.startswith(report["summary"] + "\n\n")
    assert "\x1b" not in text
    assert "Note: 2 instead of 4 settings" in text
    assert "Left out: school 99 (3 rows are fewer than 5 folds)." in text


def test_columns_are_aligned(report):
    lines = printed(report).split("\n\n")[1].splitlines()[1:]
    place = lines[0].index("verdict")
    assert [line[place : place + 4] for line in lines] == ["verd", "help", "no d", "hurt", "help"]
    assert all(line[place - 2 : place] == "  " for line in lines)


def test_tasks_are_in_order_of_gain_with_overall_last(report):
    lines = printed(report).split("\n\n")[1].splitlines()[2:]
    assert [line.split()[0] for line in lines] == ["water", '<script>alert("x")…cript>', "average", "overall"]
    assert "+14.0 %" in lines[0]
    assert "r2 0.512 → 0.561" in lines[0]


def test_of_many_tasks_both_ends_are_shown(large_report):
    block = printed(large_report).split("\n\n")[1].splitlines()
    assert len(block) == 2 + ROWS + 1 + 1
    assert block[-1] == f"{65 - ROWS} tasks in between are not shown; the report holds all 65."
    gains = sorted((t["gain_percent"] for t in large_report["tasks"]), reverse=True)
    assert f"{gains[0]:+.1f} %" in block[2]
    assert f"{gains[-1]:+.1f} %".replace("-", "−") in block[-3]


def test_control_characters_do_not_reach_the_screen(report):
    report["tasks"][0]["task"] = "evil\x1b[2Jname\nnext"
    for text in (printed(report), printed(report, Screen()).replace("\x1b[0m", "")):
        assert "\x1b[2J" not in text
        assert "evil�[2Jname�next" in text


def test_rich_tables_on_a_terminal(report):
    text = printed(report, Screen())
    assert "\x1b[" in text
    assert "water" in text
    assert "[bold" not in text


def test_plain_on_a_terminal_without_rich(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    assert printed(report, Screen()) == printed(report)


def test_brackets_in_names_are_no_rich_markup(report):
    report["tasks"][0]["task"] = "[red]x[/red]"
    assert "[red]x[/red]" in printed(report, Screen())


def test_an_empty_report():
    assert printed({}).strip() == ""
