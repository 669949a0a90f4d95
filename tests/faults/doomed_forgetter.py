"""A process that forgets a person and is killed, over and over: started once, so that a kill does not cost the imports.

Reads a number from each line of its input: forks a child that forgets the person of its arguments, and kills itself
before that one of all its steps: whatever makes something durable, gives a file a name, or is told of. Answers
`killed`, `done` or `failed`. Nothing runs here before the fork, so the child has no lock or thread of anybody else.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oplake.orchestration.forget import forget
from oplake.settings import Settings


def main() -> None:
    settings = Settings(home=Path(sys.argv[1]), duckdb_threads=1)
    say("ready")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os._exit(child(settings, sys.argv[2], int(line)))
        _, status = os.waitpid(pid, 0)
        say("killed" if os.WIFSIGNALED(status) else "done" if os.WEXITSTATUS(status) == 0 else "failed")


def say(answer: str) -> None:
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()


def child(settings: Settings, user: str, steps: int) -> int:
    left = steps

    def step(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            step()
            return function(*arguments, **options)

        return call

    for owner, name in ((os, "fsync"), (os, "link"), (Path, "rename"), (Path, "replace")):
        setattr(owner, name, counted(getattr(owner, name)))
    try:
        forget(settings, user, now=lambda: datetime(2026, 1, 7, tzinfo=UTC), say=step)
    except BaseException:  # noqa: BLE001  # whatever it is, it is the answer
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
