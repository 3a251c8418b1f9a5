"""The report as a page: what it holds, that it needs nothing, and that what a user wrote cannot become markup."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from lth_ray.config import Study
from lth_ray.lottery import Plan, make_plan
from lth_ray.record.report.html_page import inline
from lth_ray.record.report.making import report
from lth_ray.record.report.pictures import Picture
from lth_ray.store import Store

Fill = Callable[..., None]
VOID = {"meta", "br", "img", "link", "path", "use", "rect", "defs"}
OUTSIDE = {"script", "link", "img", "iframe", "object", "embed", "base", "form"}


class Reader(HTMLParser):
    """Words by heading, tags, attributes, anchors, and the tags that are still open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.references += [given[name] for name in ("href", "src", "xlink:href") if name in given]
        self.references += re.findall(r"url\(([^)]*)\)", " ".join(filter(None, given.values())))

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "br"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def page(plan: Plan, store: Store, fill: Fill) -> str:
    fill(store, plan)
    return store.get(report(plan, store, question="Do tickets win?\n\nAfter <b>two</b> papers.").page).decode()


def test_the_page_is_whole_and_needs_nothing_beside_it(page: str) -> None:
    read = Reader(page)
    assert read.open == []
    assert not OUTSIDE & set(read.tags)
    assert all(reference.strip("\"'").startswith("#") for reference in read.references)
    assert "@import" not in page
    assert {reference.strip("\"'#") for reference in read.references} <= set(read.ids)
    assert read.tags.count("svg") == 2


def test_the_page_says_what_the_report_found(page: str) -> None:
    words = Reader(page).words
    for said in (
        "Do tickets win?", "8 of 8 tickets and 14 of 14 branch results are finished.", "Test accuracy (%)",
        "Early-stop step", "Verdicts", "Every comparison", "Every round", "no verdict (n = 2)", "train.lr", "0.0012",
        "steps of the study", "a processor", "torch 2.14.1",
    ):  # fmt: skip
        assert said in words
    assert words.index("Nothing is concluded") < words.index("Do tickets win?")  # what was found, first


def test_what_users_write_is_escaped(page: str) -> None:
    assert "<b>two</b>" not in page
    assert "&lt;b&gt;two&lt;/b&gt;" in page


def test_a_ledger_takes_the_place_of_the_planned_steps(plan: Plan, store: Store, fill: Fill) -> None:
    fill(store, plan)
    ledger = {"unique_steps": 6600, "naive_steps": 7200, "trained_steps": 1234, "reused_steps": 5366, "seconds": 9.5}
    words = Reader(store.get(report(plan, store, ledger=ledger).page).decode()).words
    assert "1,234" in words
    assert "9.5" in words
    assert "of them branches" not in words


def test_the_page_names_the_commits_that_declared_the_study(plan: Plan, store: Store) -> None:
    words = Reader(store.get(report(plan, store, commits=["1a2b", "3c4d+changes"]).page).decode()).words
    assert "declared by commit" in words
    assert "1a2b, 3c4d+changes" in words


def test_a_study_without_results_has_a_page(make_study: Callable[..., Study], store: Store) -> None:
    words = Reader(store.get(report(make_plan(make_study()), store).page).decode()).words
    assert "0 of 8 tickets" in words
    assert "Figures" not in words


def test_drawings_of_one_page_do_not_share_anchors() -> None:
    svg = (
        '<?xml version="1.0"?>\n<svg width="9pt" viewBox="0 0 100 50" xmlns="s"><metadata>x</metadata>'
        '<defs><path id="a"/></defs><use xlink:href="#a" clip-path="url(#a)"/></svg>'
    )
    drawing = str(inline(svg, Picture("curves", "a & b", ("", ""))))
    assert drawing.startswith('<svg viewBox="0 0 100 50" style="max-width: 125pt" role="img" aria-label="a &amp; b"')
    assert '<path id="curves-a"/>' in drawing
    assert 'xlink:href="#curves-a" clip-path="url(#curves-a)"' in drawing
    assert "metadata" not in drawing
