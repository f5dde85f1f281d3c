"""Runs one server and ends it when its owner goes away, however that happens.

Standard input is a pipe held by the owner. When it closes (a stop, but also a crash or a kill of
the owner) the server gets its stop signal, then some time, then its process group is killed. So
an aborted test run leaves nothing behind. Started as a script, never imported.

    supervisor.py STOP_SIGNAL GRACE_SECONDS LOG USER_OR_DASH COMMAND...
"""

import os
import pwd
import select
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any


def main() -> int:
    stop_signal, grace, log, user, *command = sys.argv[1:]
    credentials: dict[str, Any] = {}
    if user != "-":
        entry = pwd.getpwnam(user)
        credentials = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    with open(log, "ab", buffering=0) as output:  # noqa: PTH123 - starts faster without pathlib
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **credentials,
        )
    print(server.pid, flush=True)
    while server.poll() is None:
        readable, _, _ = select.select([0, wake_read], [], [])
        if 0 in readable:
            break
        if {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} & set(os.read(wake_read, 64)):
            break
    if server.poll() is None:
        server.send_signal(int(stop_signal))
        with suppress(subprocess.TimeoutExpired):
            server.wait(float(grace))
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)  # the rest of its group, and itself if it hangs
    return 0 if server.wait() in (0, -int(stop_signal)) else 1


if __name__ == "__main__":
    sys.exit(main())
