"""The site is the pages: as GitHub shows them, and without anything from outside."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest
from markdown_it import MarkdownIt

from tests.docs.pages import ROOT, pages

BLOCKS = ("h1", "h2", "h3", "h4", "pre", "ol", "ul", "li", "table", "tr")
PAGES = [page for page in pages() if (ROOT / "docs") in page.parents]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built strictly: no page without a place, no link that leads nowhere."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def _article(site, page):
    name = "index" if page.stem in ("README", "index") else page.stem
    path = site / page.relative_to(ROOT / "docs").with_name(f"{name}.html")
    found = re.search(r"<article.*?</article>", path.read_text(encoding="utf-8"), re.S)
    assert found
    return found[0]


def _blocks(html):
    return Counter(re.findall(rf"<({'|'.join(BLOCKS)})\b", html))


def test_a_page_has_the_same_blocks_as_on_github(site):
    github = MarkdownIt("commonmark").enable("table")
    for page in PAGES:
        there = _blocks(github.render(page.read_text(encoding="utf-8")))
        assert _blocks(_article(site, page)) == there, page.name


def test_nothing_is_fetched_from_elsewhere(site):
    fetched = r"<(?:link|script|img|iframe|source)\b[^>]*\b(?:href|src)=\"?(?:https?:)?//[^>]*"
    for page in site.rglob("*.html"):
        assert re.findall(fetched, page.read_text(encoding="utf-8")) == [], page.name
