"""The answers that have landed, for making tables again without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel

from oplake.synthesis.answers import parse, raw
from oplake.synthesis.calls import OK
from oplake.synthesis.memory import SOURCE, Memory
from oplake.synthesis.session import ANSWERED
from oplake.synthesis.wire import Said


@dataclass(frozen=True)
class Recalled:
    """The last landed answer of an asset to a partition and user."""

    partition: str
    user_id: str | None
    fields: Mapping[str, Any]
    detail: Mapping[str, Any]  # of the event `done`: status, author, prompt_version, score and the like
    finished_at: datetime


def recall(memory: Memory, asset: str, schema: type[BaseModel]) -> list[Recalled]:
    """The last answers of an asset, one for each partition and user, in the order in which they were finished."""
    last: dict[tuple[str, str | None], dict[str, Any]] = {}
    for event in memory.find("session_event", event_type="done", source=SOURCE):
        detail = event["detail"]
        if detail["asset"] == asset and detail["status"] in ANSWERED:
            key = (detail["partition"], detail["user_id"])
            last.pop(key, None)
            last[key] = event
    hashes = [event["detail"]["prompt_hash"] for event in last.values()]
    calls = memory.find("llm_call", prompt_hash=hashes, status=OK, cached=False, source=SOURCE) if hashes else []
    said = {call["prompt_hash"]: msgspec.json.decode(call["response"], type=Said) for call in calls}
    found = []
    for (partition, user_id), event in last.items():
        content = said[event["detail"]["prompt_hash"]].content
        value = parse(content, schema).value
        fields = raw(content) if value is None else value.model_dump(mode="json")
        found.append(Recalled(partition, user_id, fields, event["detail"], event["ts"]))
    return found
