"""What is made to go wrong between an agent and landing, and how often; and the unusable bytes and made-up secrets.

Mishaps belong to an action each and exclude one another, so that the truth can say what became of it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from oplake.simulate.dice import Dice

Mishap: TypeAlias = Literal[
    "late", "midnight", "duplicate", "conflict", "died", "evicted", "index_gap", "index_twice", "secret", "old_clock",
    "completed_late", "unusable",
]  # fmt: skip
"""late: an offline agent's events arrive hours later. midnight: an action over midnight. duplicate: an event arrives
twice. conflict: the same id with another body. died: the process died, nothing completes the action. evicted: too many
open actions. index_gap, index_twice: step_index skips a number, or repeats one. secret: a made-up secret in a text.
old_clock: an observation dated 500 days back. completed_late: completed after the six hours. unusable: bytes that
are no event."""

SHARES: dict[Mishap, float] = {
    "late": 0.010,
    "midnight": 0.004,
    "duplicate": 0.010,
    "conflict": 0.002,
    "died": 0.008,
    "evicted": 0.004,
    "index_gap": 0.006,
    "index_twice": 0.004,
    "secret": 0.010,
    "old_clock": 0.002,
    "completed_late": 0.003,
    "unusable": 0.006,
}
"""Share of the actions that each befalls."""

ALL_FROM_RATE = 50  # actions a day from which every day has each mishap at least once: a small demo shows them all


def assign(dice: Dice, rate: int) -> dict[int, Mishap]:
    """Which of a day's actions, by number, meets which mishap."""
    assigned: dict[int, Mishap] = {}
    for mishap, share in SHARES.items():
        count = max(int(rate * share + dice.unit()), 1 if rate >= ALL_FROM_RATE else 0)
        for _ in range(count):
            number = dice.between(0, rate - 1)
            while number in assigned and len(assigned) < rate:
                number = (number + 1) % rate
            assigned.setdefault(number, mishap)
    return assigned


_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ALL = _UPPER + _UPPER.lower() + "0123456789"


def secret(dice: Dice) -> tuple[str, str]:
    """A sentence with a made-up secret in it, and the secret."""
    kind = dice.between(0, 3)
    if kind == 0:
        made = "AKIA" + dice.letters(_UPPER, 16)
        return f"Retried the upload with access key {made} from the old config.", made
    if kind == 1:
        made = "ghp_" + dice.letters(_ALL, 36)
        return f"The remote wanted a token, so I used {made} from the notes.", made
    if kind == 2:
        made = dice.letters(_ALL, 14)
        return f"Connected to postgresql://reporter:{made}@db.internal:5432/ledger to check.", made
    made = dice.letters(_ALL, 16)
    return f"The customer wrote: my login is fine, password={made} still works.", made


def unusable(dice: Dice, good: bytes) -> bytes:
    """Bytes that are no event, made from the line of one in one of the ways seen in the wild."""
    kind = dice.between(0, 5)
    if kind == 0:
        return good[: len(good) * 2 // 3]  # cut off
    if kind == 1:
        return good.replace(b'"kind":"step"', b'"kind":"stepp"', 1)  # no such kind
    if kind == 2:
        return good.replace(b'"confidence":', b'"confidence":NaN,"was":', 1)  # a number that JSON does not have
    if kind == 3:
        return good.replace(b'Z","received_at"', b'","received_at"', 1)  # a time without its offset
    if kind == 4:
        return b"Traceback (most recent call last):"  # a log line that strayed in
    return good.replace(b'"description":"', b'"description":"\xff\xfe', 1)  # not UTF-8
