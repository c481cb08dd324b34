from __future__ import annotations

from polytask.balancing.gradients.pairs import pair_names


def test_each_ordered_pair_has_its_own_key() -> None:
    assert pair_names(("x", "y"))[1:3] == ("'x', 'y'", "'y', 'x'")
    awkward = ("a", "b", "a', 'b", "", ", ", "'")
    assert len(set(pair_names(awkward))) == 36
