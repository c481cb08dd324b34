"""The registry and what its cards say."""

from __future__ import annotations

from pathlib import Path

import pytest

from polytask.balancing import BALANCERS, balancing_methods
from polytask.balancing.base import NEEDS

PAGE = Path(__file__).parents[2] / "docs" / "balancing.md"

ASKED_FOR = """
equal fixed uncertainty worst_case dwa rlw geometric_mean scale_invariant famo imtl_l stch
gradnorm mgda mgda_ub pcgrad gradvac graddrop cagrad imtl_g nash_mtl aligned_mtl fairgrad upgrad db_mtl config
"""


def test_all_methods_are_there() -> None:
    assert set(BALANCERS) == set(ASKED_FOR.split())


@pytest.mark.parametrize("row", balancing_methods(), ids=lambda row: row["name"])
def test_cards_are_filled_in_and_on_the_page(row: dict[str, str]) -> None:
    assert row["needs"] in NEEDS
    assert row["paper"], row["formula"]
    assert (row["memory"] == "none") == (row["needs"] not in ("gradients", "features"))
    formula = row["formula"].replace("|", "\\|")
    line = f"| `{row['name']}` | {formula} | {row['needs']} | {row['backward']} | {row['paper']} |"
    assert line in PAGE.read_text(encoding="utf-8")


def test_the_order_is_from_cheap_to_dear() -> None:
    needs = [NEEDS.index(row["needs"]) for row in balancing_methods()]
    assert needs == sorted(needs)
