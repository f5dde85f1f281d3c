"""`python -m examples.peers install [tryton] [mailman] [postgres] [redis] ...`, or `run` to keep them up."""

import signal
import sys
import time
from contextlib import ExitStack

from examples import peers
from examples.peers.installing import say

USAGE = f"usage: python -m examples.peers install|run [{'] ['.join(peers.INSTALLERS)}]"


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in ("install", "run"):
        print(USAGE, file=sys.stderr)
        return 2
    verb, *systems = arguments
    try:
        for system in systems or list(peers.INSTALLERS):
            begin = time.monotonic()
            peers.install(system)
            say(f"{system}: installed ({time.monotonic() - begin:.1f} s)")
        if verb == "run":
            _run(systems or list(peers.INSTALLERS))
    except peers.PeerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(systems: list[str]) -> None:
    kinds = {
        "tryton": peers.Tryton,
        "mailman": peers.Mailman,
        "postgres": peers.Postgres,
        "redis": peers.Redis,
        "vendure": peers.Vendure,
        "backoffice": peers.BackOffice,
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        for system in systems:
            server = stack.enter_context(kinds[system]())
            print(system, getattr(server, "url"), "log:", server.log, flush=True)  # noqa: B009
        print("Ctrl-C stops them.", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
