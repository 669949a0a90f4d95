"""A process that ingests and is killed, over and over: started once, so that a kill does not cost the imports.

Reads commands from its input, one a line, `what how amount`: forks a child that does `what` (ingest or rebuild) and is
killed `how`: after so many durable steps (step) or so many milliseconds (time). Answers `killed`, `done` or `failed`.
Nothing runs here before the fork, so the child has no lock or thread of anybody else.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from oplake.lake.ingest import Progress, ingest
from oplake.lake.rebuild import rebuild
from oplake.settings import Settings


def main() -> None:
    settings = Settings(home=Path(sys.argv[1]), ingest_bytes=int(sys.argv[2]), duckdb_threads=1)
    say("ready")
    for line in sys.stdin:
        what, how, amount = line.split()
        pid = os.fork()
        if pid == 0:
            os._exit(child(settings, what, int(amount) if how == "step" else -1))
        if how == "time":
            time.sleep(int(amount) / 1000)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            say("killed")
        else:
            say("done" if os.WEXITSTATUS(status) == 0 else "failed")


def say(answer: str) -> None:
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()


def child(settings: Settings, what: str, steps: int) -> int:
    left = steps

    def listener(_: Progress) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_table(_name: str, _rows: int) -> None:
        listener(Progress("", 0, 0))

    try:
        if what == "ingest":
            ingest(settings, now=datetime.now(UTC), progress=listener)
        else:
            rebuild(settings, now=datetime.now(UTC), on_table=on_table)
    except BaseException:  # noqa: BLE001  # whatever it is, it is the answer
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
