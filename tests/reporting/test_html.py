from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser

import pytest

from polytask.environment import dump_json
from polytask.reporting import render_html, write_html

VOID = {"meta", "br", "hr", "col"}


class Document(HTMLParser):
    """Checks that tags nest, and gathers what the tests ask about."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open:
            self.text[tag] = self.text.get(tag, "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize(("q", "p"), [(2, 1), (3, 100), (65, 12), (160, 3)])
def test_a_whole_document(report_of, q, p):
    page = Document(render_html(report_of(q, p)))
    assert page.text["h1"].startswith(f"Learning the {q} tasks together helps:")
    assert len(page.all("section")) == 7
    assert {a["href"] for a in page.all("a")} == {f"#{s['id']}" for s in page.all("section")}


def test_nothing_is_loaded_and_nothing_runs(large_report):
    text = render_html(large_report)
    page = Document(text)
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & {tag for tag, _ in page.tags}
    assert all(
        key not in attributes
        for _, attributes in page.tags
        for key in ("src", "onclick", "onload", "xlink:href")
    )
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_hostile_names_are_text(report):
    text = render_html(report)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    hostile = report["tasks"][1]["task"]
    assert any(a.get("title") == hostile for a in Document(text).all("th"))


def test_every_picture_says_what_it_shows(large_report):
    text = render_html(large_report)
    pictures = re.findall(r'<svg[^>]*role="img"[^>]*>', text)
    assert len(pictures) > 65
    assert len(re.findall(r'role="img"[^>]*><title>[^<]+</title>', text)) == len(pictures)


def test_numbers_of_the_tasks_are_there(report):
    text = render_html(report)
    for expected in (
        "+14.0\u00a0%",
        "+9.0 to +19.0",
        "−6.2\u00a0%",
        "r2 0.512 → 0.561",
        "1 min 33 s",
        "2 instead of 4 settings",
        "3 rows are fewer than 5 folds",
        "Some CPU",
        "2.13.0",
    ):
        assert expected in text


def test_minus_signs_in_the_headline(report):
    report["summary"] = "No difference shown between 2 post-war tasks: -2.9 % [-8.9, +3.0]."
    assert (
        "No difference shown between 2 post-war tasks: −2.9\u00a0% [−8.9, +3.0]."
        in Document(render_html(report)).text["h1"]
    )


def test_the_same_report_makes_the_same_page(report):
    before = copy.deepcopy(report)
    assert render_html(report) == render_html(report)
    assert report == before


def test_a_report_read_back_from_json(report):
    report["tasks"][0]["rows_to_settle"] = float("nan")
    assert Document(render_html(json.loads(dump_json(report))))


@pytest.mark.parametrize(
    "part",
    [
        "explain",
        "sparsity",
        "curves",
        "candidates",
        "tasks",
        "overall",
        "run",
        "notes",
        "left_out",
        "summary",
    ],
)
@pytest.mark.parametrize("empty", [None, "absent"])
def test_any_part_may_be_missing(report, part, empty):
    report[part] = None
    if empty == "absent":
        del report[part]
    assert Document(render_html(report)).all("section")


def test_an_empty_report():
    assert [s["id"] for s in Document(render_html({})).all("section")] == ["reading", "run"]


def test_all_numbers_may_be_missing(report):
    def without_numbers(value):
        if isinstance(value, dict):
            return {k: v if k == "epoch" else without_numbers(v) for k, v in value.items()}
        if isinstance(value, list):
            return [without_numbers(v) for v in value]
        return None if isinstance(value, (int, float)) else value

    assert Document(render_html(without_numbers(report))).all("section")


def test_writing_replaces_the_old_file(report, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    assert write_html(report, path) == path
    assert path.read_text(encoding="utf-8") == render_html(report)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_full_disk_leaves_the_old_file(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_html(report, path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
