"""What is written by a script is up to date."""

import runpy

from tests.docs.pages import ROOT


def test_the_codecs_page_is_what_the_codecs_say():
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    committed = made["TARGET"].read_text(encoding="utf-8")
    assert committed == made["codecs_page"](), "run .venv/bin/python docs/generate.py"
