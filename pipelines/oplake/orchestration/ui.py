"""`oplake ui`: Dagster's webserver and daemon on this machine, over the records of one home.

This process becomes `dagster dev`, with the signals as a terminal gives them (started in the background by a shell it
would otherwise ignore Ctrl-C and SIGTERM for ever) and with a lock: two daemons on one home's records would start
everything twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from oplake.orchestration.errors import OrchestrationError
from oplake.settings import Settings

HOST = "127.0.0.1"  # the UI has no log-in: it is for this machine alone
PORT = 3000
LOCK = "ui.lock"
WORKSPACE = "workspace.yaml"
PROCESSES = Path("/proc")
PARTS = frozenset({b"dagster_webserver", b"dagster._daemon", b"code-server"})  # what `dagster dev` runs beside itself
CODE_LOCATION = """# Written by oplake: what Dagster loads, and what it calls it.
load_from:
  - python_module:
      module_name: oplake.orchestration.definitions
      location_name: oplake
"""


def start_ui(settings: Settings, *, port: int | None = None, say: Callable[[str], None] = print) -> None:
    """Become the UI and the daemon of a home; does not return. Ctrl-C and SIGTERM stop it.

    Args:
        settings: The home.
        port: Where to listen; by default 3000, or any free one when that is taken.
        say: Told where the UI will be.

    Raises:
        OrchestrationError: The home has its UI already, or the port is taken.
    """
    from oplake.orchestration.instance import prepare

    home = prepare(settings)
    descriptor = _lock(home / LOCK)
    stop_leftovers(home)
    chosen = _port(port)
    url = f"http://{HOST}:{chosen}"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {url}".encode(), 0)
    os.set_inheritable(descriptor, True)  # whatever of it outlives this process keeps the lock
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
    say(f"Dagster opens at {url} in a few seconds; the daemon runs what is due. Ctrl-C stops both.")
    sys.stdout.flush()
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "OPLAKE_HOME": str(settings.home.resolve()),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "dagster", "dev", "-w", WORKSPACE, "--host", HOST, "--port", str(chosen)]
    (home / WORKSPACE).write_text(CODE_LOCATION, encoding="utf-8")
    os.chdir(home)  # `dagster dev` would take a dagster.yaml or .env that happens to lie where it was called
    os.execve(sys.executable, [*command, "--log-level", "warning"], environment)  # noqa: S606  (no shell is wanted)


def stop_leftovers(home: Path, processes: Path = PROCESSES) -> list[int]:
    """Stop what a UI that was killed left running; its daemon would start everything twice. Returns process ids.

    `dagster dev` stops its webserver and daemon when it ends, but not when it is killed. They are known by their
    command and by the home in their environment.
    """
    mark = f"DAGSTER_HOME={home}".encode()
    stopped = []
    for entry in processes.glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            if PARTS.isdisjoint(command) or mark not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            os.kill(int(entry.name), signal.SIGTERM)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or is somebody else's
        stopped.append(int(entry.name))
    return stopped


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid, _, url = os.pread(descriptor, 200, 0).decode(errors="replace").partition(" ")
        os.close(descriptor)
        where = f" at {url} (process {pid})" if url else ""
        raise OrchestrationError(
            f"this home has its UI already{where}; open that one, or stop it before another is started"
        ) from None
    return descriptor


def _port(wanted: int | None) -> int:
    """A free port: the one wanted, else the usual one, else any."""
    for port in [PORT, 0] if wanted is None else [wanted]:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise OrchestrationError(f"port {wanted} is taken by another program; choose one with --port, or leave it out")
