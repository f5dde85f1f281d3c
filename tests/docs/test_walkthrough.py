"""Every console block that is marked as run is run, in order, against the simulated systems that the page starts."""

import json
import os
import shlex
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from crm_master import cli
from tests.docs.pages import ROOT, blocks, commands, pages

WALKED = [page for page in pages() if any("run" in block.words for block in blocks(page))]
SHIPPED = ROOT / "examples" / "two_shops" / "hub"
_IN_HUB = ("hub.yaml", "systems/", "mappings/", "entities/", "policies/")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that looks like a clone, as far as pages look at it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name in ("CONCORD_HOME", "CONCORD_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return tmp_path


@pytest.fixture
def systems(folder, monkeypatch):
    """The simulated systems that pages have the reader start, and the variables that are to be pasted."""
    with subprocess.Popen(
        [sys.executable, "-m", "examples.two_shops"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for _ in range(2):
                _export(process.stdout.readline(), monkeypatch)
            yield
        finally:
            process.stdin.write("\n")
            process.stdin.close()
            process.wait(20)


def _export(line, monkeypatch):
    program, *settings = shlex.split(line)
    assert program == "export"
    for setting in settings:
        monkeypatch.setenv(*setting.split("=", 1))


def _write(page, folder):
    for block in blocks(page):
        if block.file is not None:
            target = folder / ("hub" if block.file.startswith(_IN_HUB) else "") / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body, encoding="utf-8")


@pytest.mark.parametrize("page", WALKED, ids=lambda page: page.name)
def test_what_a_page_tells_to_run_runs(page, folder, systems, monkeypatch):
    for block in blocks(page):
        if block.file is not None and not block.file.startswith(_IN_HUB):
            (folder / block.file).write_text(block.body, encoding="utf-8")
    if "hub of the [tutorial]" in page.read_text(encoding="utf-8"):
        _at_rest(monkeypatch)
    for block in blocks(page):
        if "run" in block.words:
            for command, shown in commands(block.body):
                _run(command, shown, f"{block}: {command}", monkeypatch)


def _at_rest(monkeypatch):
    """The hub of the tutorial, and the change that its reader makes first."""
    for block in blocks(ROOT / "docs" / "tutorial.md"):
        if "run" in block.words:
            for command, shown in commands(block.body):
                _run(command, shown, f"{block}: {command}", monkeypatch)
                if "Bruges" in command:
                    _run("concord sync", [], command, monkeypatch)
                    return


def _newest_reconciling(words):
    """The run that a page means by RUN: the newest that changed golden records."""
    if "RUN" not in words:
        return words
    listed = CliRunner().invoke(cli.app, ["runs", "list", "--verb", "reconcile", "--json"])
    run = next(run["run"] for run in json.loads(listed.stdout) if run["counts"].get("changed"))
    return [run if word == "RUN" else word for word in words]


def _run(command, shown, where, monkeypatch):
    program, *words = shlex.split(command)
    if program == "export":
        _export(command, monkeypatch)
        return
    if program == "concord":
        words = _newest_reconciling(words)
        result = CliRunner().invoke(cli.app, words, "y\n", catch_exceptions=False)
        status, output = result.exit_code, result.output
    else:
        assert program in ("cp", "curl"), where
        ran = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        status, output = ran.returncode, ran.stdout + ran.stderr
    assert status == 0, f"{where}\n{output}"
    for line in shown:
        assert " ".join(line.split()) in " ".join(output.split()), f"{where}\n{output}"


@pytest.mark.parametrize(
    "block", [b for p in WALKED for b in blocks(p) if (b.file or "").startswith(_IN_HUB)], ids=str
)
def test_a_file_of_a_walked_page_is_the_one_that_ships(block):
    assert block.body == (SHIPPED / block.file).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_manifest_of_the_walkthrough_is_certified(folder):
    _write(ROOT / "docs" / "connect-a-system.md", folder)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
