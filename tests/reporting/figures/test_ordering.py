from __future__ import annotations

from polytask.reporting.figures.ordering import neighbours


def test_members_of_nested_groups_become_neighbours() -> None:
    assert neighbours("abcdef", ["ace", "bdf", "ae"]) == list("aecbdf")


def test_what_needs_no_move_stays() -> None:
    assert neighbours("cab", ["ca", "cab", "b"]) == list("cab")
    assert neighbours("cab", []) == list("cab")


def test_where_groups_cross_the_smaller_one_stays_whole() -> None:
    assert neighbours("abcde", ["ace", "bc"]) == list("acbed")
