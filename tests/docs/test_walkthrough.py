"""Every console block that is marked as run is run, in order, against the simulated systems that the page starts."""

import contextlib
import os
import shlex
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from crm_master import cli
from tests.docs.pages import ROOT, blocks, commands, pages

WALKED = [page for page in pages() if any("run" in block.words for block in blocks(page))]
_IN_HUB = ("hub.yaml", "systems/", "mappings/", "entities/", "policies/")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("CONCORD_HOME", "CONCORD_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return tmp_path


def _write(page, folder):
    for block in blocks(page):
        if block.file is not None:
            target = folder / ("hub" if block.file.startswith(_IN_HUB) else "") / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body, encoding="utf-8")


@contextlib.contextmanager
def _systems(folder, monkeypatch):
    """The page's simulated systems, if it has some, with the connections that they print."""
    if not (folder / "systems.py").exists():
        yield
        return
    with subprocess.Popen(
        [sys.executable, "systems.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for _ in range(2):
                name, _, value = process.stdout.readline().split(" ", 1)[1].strip().partition("=")
                monkeypatch.setenv(name, value)
            yield
        finally:
            process.stdin.write("\n")
            process.stdin.close()
            process.wait(20)


@pytest.mark.parametrize("page", WALKED, ids=lambda page: page.name)
def test_what_a_page_tells_to_run_runs(page, folder, monkeypatch):
    _write(page, folder)
    with _systems(folder, monkeypatch):
        for block in blocks(page):
            if "run" in block.words:
                for command, shown in commands(block.body):
                    _run(command, shown, f"{block}: {command}", monkeypatch)


def _run(command, shown, where, monkeypatch):
    program, *words = shlex.split(command)
    if program == "export":
        name, _, value = words[0].partition("=")
        monkeypatch.setenv(name, value)
        return
    assert program == "concord", where
    result = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    output = " ".join(result.output.split())
    assert result.exit_code == 0, f"{where}\n{result.output}"
    for line in shown:
        assert " ".join(line.split()) in output, f"{where}\n{result.output}"


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
