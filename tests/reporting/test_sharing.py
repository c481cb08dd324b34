from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from polytask.errors import SettingError
from polytask.reporting.sharing import render_sharing, sharing_svg, write_sharing
from polytask.sharing import SHARINGS

from .conftest import HOSTILE
from .descriptions import CASES, SIZES, hard, mmoe, single, task_names
from .figures.test_matrix import Matrix
from .test_html import Document


def everything(n: int) -> dict[str, Any]:
    """All that a page may have besides the description."""
    tasks = tuple(task_names(n))
    rng = np.random.default_rng(0)
    experts = tuple(f"expert {k}" for k in range(8))
    return {
        "gates": [
            Matrix("level 1", tasks, experts, rng.dirichlet(np.ones(8), n)),
            Matrix("", tasks, experts, np.ones((n, 8))),
        ],
        "stitches": [Matrix("block 1", tasks, tasks, np.eye(n))],
        "covariance": [Matrix("output", tasks, tasks, rng.normal(size=(n, n)))],
        "branches": [[list(tasks)], [[t] for t in tasks]],
        "flops": 12345,
        "others": [hard(n), single(n)],
    }


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("n", SIZES)
def test_a_whole_document_that_loads_nothing(name: str, n: int) -> None:
    text = render_sharing(CASES[name](n))
    page = Document(text)
    assert not {"script", "link", "img", "use"} & {tag for tag, _ in page.tags}
    assert "<script" not in text
    assert "url(" not in text
    assert [s["id"] for s in page.all("section")] == ["drawing", "parts"]
    assert re.findall(r'role="img"[^>]*><title>[^<]+</title><desc>[^<]+</desc>', text)
    assert len(text) < 120_000


@pytest.mark.parametrize("n", SIZES)
def test_sections_for_all_there_is_to_show(n: int) -> None:
    text = render_sharing(mmoe(n), **everything(n))
    page = Document(text)
    ids = ["drawing", "gates", "stitches", "covariance", "branches", "parts", "compared"]
    assert [s["id"] for s in page.all("section")] == ids
    assert len(re.findall(r'role="img"[^>]*><title>[^<]+</title>', text)) == 1 + 4 + 1
    assert len(page.all("figcaption")) == 5
    assert "nan" not in "".join(re.findall(r' d="[^"]*"', text))
    labels = [a["aria-label"] for a in page.all("div") if a.get("role") == "region"]
    assert len(labels) == 8
    assert all(labels)


def test_the_headline_says_how_much_is_shared() -> None:
    top = Document(render_sharing(hard(3), flops=21376)).text
    assert top["h1"] == "hard: 98\u00a0% of 10,819 parameters are shared between 3 tasks."
    assert "Own parameters of a task65" in top["dl"]
    assert "Most parameters are inlayers10,624 of 10,819" in top["dl"]
    assert "Operations per row21,376" in top["dl"]
    assert "none of 32,067 parameters is shared" in render_sharing(single(3))


def test_a_title_takes_the_place_of_the_name() -> None:
    text = render_sharing(hard(3), title=HOSTILE)
    assert Document(text).text["h1"].startswith(HOSTILE)
    assert "<script" not in text


def test_operations_by_name_for_a_comparison() -> None:
    text = Document(render_sharing(hard(2), others=[single(2)], flops={"hard": 111, "single": 222})).text
    assert "111" in text["dl"]
    assert text["td"].endswith("222")


def test_maps_of_one_kind_have_one_scale() -> None:
    tables = [Matrix("a", ("t",), ("e",), np.array([[x]])) for x in (0.5, 2.0)]
    text = render_sharing(hard(1), gates=tables)
    opacities = re.findall(
        r'class="cell helped" fill-opacity="([\d.]+)" shape-rendering="crispEdges"/>', text
    )
    assert opacities == ["0.18", "0.92"]


def test_a_description_read_back_from_json_makes_the_same_page(tmp_path: Path) -> None:
    description = mmoe(4)
    path = write_sharing(json.loads(json.dumps(description)), tmp_path / "new" / "page.html", flops=3)
    assert path.read_text(encoding="utf-8") == render_sharing(description, flops=3)


@pytest.mark.parametrize("n", SIZES)
def test_the_drawing_alone_is_a_file_of_its_own(n: int) -> None:
    text = sharing_svg(mmoe(n))
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_nothing_to_draw() -> None:
    with pytest.raises(SettingError, match="describe"):
        render_sharing({"name": "x", "heads": {"a": 1}, "parts": [], "parameters": 0, "shared_parameters": 0})


@pytest.mark.parametrize("name", list(SHARINGS))
@pytest.mark.parametrize("n", [1, 2, 12])
def test_every_architecture_of_the_library_can_be_drawn(name: str, n: int) -> None:
    torch.manual_seed(0)
    network = SHARINGS[name].for_table(5, dict.fromkeys(task_names(n), 1), hidden=(6, 6))
    found = {
        key: getattr(network, key)()
        for key in ("stitches", "covariance", "branches")
        if hasattr(network, key)
    }
    if hasattr(network, "gates"):
        found["gates"] = network.gates(torch.randn(9, 5))
    text = render_sharing(network.describe(), flops=network.flops(), **found)
    assert Document(text).all("section")[0]["id"] == "drawing"
    for part in network.parts():
        assert part.kind in text
