"""What is written by a script is up to date."""

import runpy

import pytest

from tests.docs.pages import ROOT

PAGES = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_code_and_the_files_say(name):
    committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert committed == PAGES[name](), "run .venv/bin/python docs/generate.py"


def test_every_entity_that_ships_has_its_fields_on_a_page():
    committed = (ROOT / "docs" / "fields.md").read_text(encoding="utf-8")
    for file in (ROOT / "mappings" / "entities").glob("*.yaml"):
        assert f"\n## {file.stem.title()}\n" in committed
