"""The registry and what its cards say."""

from __future__ import annotations

from pathlib import Path

import pytest

from polytask.sharing import SHARINGS, Matrix, get_sharing, sharing_methods

PAGE = Path(__file__).parents[2] / "docs" / "sharing.md"

ASKED_FOR = """
single hard hierarchical soft trace_norm cross_stitch sluice mtan relationship gating concatenation additive film
mmoe dselect_k cgc ple adashare branched
"""


def test_all_architectures_are_there() -> None:
    assert set(SHARINGS) == set(ASKED_FOR.split())


@pytest.mark.parametrize("row", sharing_methods(), ids=lambda row: row["name"])
def test_cards_are_filled_in_and_on_the_page(row: dict[str, str]) -> None:
    assert row["paper"]
    settings = ", ".join(f"`{name}`" for name in row["settings"].split(", ") if name) or "–"
    formula = row["formula"].replace("|", "\\|")
    line = f"| `{row['name']}` | {formula} | {row['shared']} | {settings} | {row['paper']} |"
    assert line in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("cross_stitch", "stitches"),
        ("sluice", "stitches"),
        ("relationship", "covariance"),
        ("adashare", "policy"),
    ],
)
def test_what_is_looked_at_is_a_matrix(name: str, method: str) -> None:
    network = get_sharing(name).for_table(4, {"a": 1, "b": 1}, hidden=(6, 6))
    for matrix in getattr(network, method)():
        assert isinstance(matrix, Matrix)
        assert matrix.values.shape == (len(matrix.rows), len(matrix.columns))
