"""The table of defects has every row, and names the tests that there are."""

import re

from tests.docs.pages import ROOT

ROWS = 26


def test_the_table_of_defects_names_every_test_and_no_other():
    page = (ROOT / "docs" / "defects.md").read_text(encoding="utf-8")
    rows = {
        int(number): cells.split(" | ")[-1]
        for number, cells in re.findall(r"^\| (\d+) \| (.*?) ?\|$", page, re.M)
    }
    assert sorted(rows) == list(range(1, ROWS + 1))
    told = {
        name if name.startswith("test_") else f"test_defect_{number:02}_{name}"
        for number, tests in rows.items()
        for name in re.findall(r"`(\w+)`", tests)
    }
    of_rules = {name for name in told if not name.startswith("test_defect_")}
    assert told - of_rules == _tests("defects")
    assert of_rules <= _tests("rules")


def _tests(folder):
    return {
        name
        for module in (ROOT / "tests" / folder).glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", module.read_text(encoding="utf-8"), re.M)
    }


def test_a_row_without_a_test_says_that_it_is_not_there_yet():
    page = (ROOT / "docs" / "defects.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| .*? \| (.*?) \|(.*)\|$", page, re.M)
    assert len(rows) == ROWS
    assert all("`" in tests or here.startswith("Not yet") for here, tests in rows)
