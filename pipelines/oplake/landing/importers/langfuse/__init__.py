"""Exports of Langfuse -> actions with their steps and observations, turns, tool calls.

Read are what its UI downloads (a trace, a session, a table of traces, observations or scores), the pages of its API
(`data`), and its scheduled exports: JSON and JSON lines, keys in camelCase or snake_case, several files of a folder
taken together. A trace may hold its observations and scores, or leave them to other rows; in tables that the UI exports
scores are columns.

| there | here |
|---|---|
| trace | an action of its own id, of the type of its name |
| agent | an action within that of its parent |
| generation, embedding | a turn, and a step |
| tool, retriever | a tool call of the turn before it, a step, and an observation `tool_result` |
| span, chain, evaluator, guardrail | a step |
| event | an observation |
| score | an observation; of a session without a trace, a session event `review` |
| anything of level ERROR | also a session event `error` |

The session is that of the trace, else the trace. `turn_index`, `call_index` and `step_index` go by start times, so all
of a session has to be in one import. Types of usage do not overlap there, and all that have `input` in their name are
input: ours is their sum. `charged_usd` is what Langfuse says, which may have worked it out itself.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from oplake.landing.importers import START, Imported, Intake, OfPiece, Place, Progress, midnight
from oplake.landing.importers.langfuse.fields import (
    answered,
    as_object,
    asked,
    cost_of,
    error_of,
    milliseconds,
    name_of,
    names_of,
    present,
    provider_of,
    shown,
    tokens_of,
)
from oplake.landing.importers.langfuse.rows import (
    ANSWERING,
    CALLING,
    STEPPING,
    Export,
    Observation,
    Row,
    Unusable,
    any_time,
    files_of,
    rows_of,
    sort,
    time_of,
)
from oplake.landing.writer import SegmentWriter

SOURCE = "langfuse"
DESCRIPTION_CHARS = 500  # what a step's description may hold
PROGRESS_ROWS = 500  # between two reports of progress


def import_langfuse(
    path: Path, writer: SegmentWriter, *, received_at: datetime, progress: Progress | None = None
) -> Imported:
    """Land an export of Langfuse.

    Args:
        path: A file, also as .gz or .zst, or a folder of them.
        writer: Where it lands.
        received_at: The time of the import.

    Returns:
        What landed. Rows that cannot be used are rejects with their place.

    Raises:
        NotImportable: There is no such file, or it is too large.
        LandingError: The events cannot be made durable.
    """
    files = files_of(path)
    total = sum(file.stat().st_size for file in files)
    done = 0
    export = Export()
    with Intake(writer, OfPiece(SOURCE), name=SOURCE, received_at=received_at, begins=midnight(START)) as intake:
        for file in files:
            for number, (row, raw, place, error) in enumerate(rows_of(file, intake)):
                try:
                    if error:
                        raise Unusable(error)
                    sort(row, place, export)
                except Unusable as unusable:
                    intake.advance(f"{place.file}\0{place.byte_offset}\0{place.part}\0".encode() + raw)
                    intake.refuse(raw, reason=str(unusable), place=place, ts=any_time(row) or midnight(START))
                if progress and number % PROGRESS_ROWS == 0:
                    progress(done + min(place.byte_offset, file.stat().st_size), total)
            done += file.stat().st_size
        _Lander(intake, export).land()
        if progress:
            progress(total, total)
    return intake.imported()


class _Lander:
    """Makes events of the rows of an export, once all are known."""

    def __init__(self, intake: Intake, export: Export) -> None:
        self._intake = intake
        self._export = export
        self._ordered = sorted(export.observations.values(), key=lambda each: (each.began, each.id))
        # Of a trace: when its turns began, and which observations they are.
        self._turns: dict[str, tuple[list[datetime], list[str]]] = defaultdict(lambda: ([], []))
        self._turn_index: dict[str, int] = {}  # by observation

    def land(self) -> None:
        """Land everything, in the order of time within each kind."""
        counts: Counter[str] = Counter()
        for each in self._ordered:
            if each.kind in ANSWERING:
                session_id = self._session(each)
                self._turn_index[each.id] = counts[session_id]
                counts[session_id] += 1
                times, ids = self._turns[each.row["traceId"]]
                times.append(each.began)
                ids.append(each.id)
        self._land_actions()
        steps: Counter[str] = Counter()
        calls: Counter[tuple[str, int]] = Counter()
        for each in self._ordered:
            action_id = self._action(each)
            if each.kind in ANSWERING:
                self._land_turn(each)
            elif each.kind in CALLING:
                turn_index = self._turn_of(each)
                of_turn = (self._session(each), turn_index)
                self._land_call(each, turn_index, calls[of_turn])
                calls[of_turn] += 1
            if each.kind in STEPPING:
                self._land_step(each, action_id, steps[action_id])
                steps[action_id] += 1
            if each.kind in CALLING | {"EVENT"}:
                self._land_observation(each, action_id)
            if each.row.get("level") == "ERROR":
                self._land_error(each)
        for row, place in self._export.all_scores():
            self._land_score(row, place)

    def _take(self, key: str, ts: datetime, place: Place, **event: Any) -> None:
        self._intake.advance(f"{event['kind']}/{key}".encode())
        made = {"ts": ts, "source": SOURCE, **{name: value for name, value in event.items() if value is not None}}
        raw = json.dumps(made, default=_isoformat).encode()  # in ASCII: what is no text is visible as such to accept
        self._intake.take(raw, event_id=self._intake.id(), raw=raw, place=place, ts=ts)

    def _trace(self, each: Observation) -> Row:
        found = self._export.traces.get(each.row["traceId"])
        return found[0] if found else {}

    def _of_trace(self, each: Observation, name: str) -> Any:
        """What an observation says of its trace, as enriched exports do; else what the trace says."""
        return each.row.get(name) or self._trace(each).get(name)

    def _session(self, each: Observation) -> str:
        return str(self._of_trace(each, "sessionId") or each.row["traceId"])

    def _parents(self, each: Observation) -> Iterator[Observation]:
        """The observations around one, innermost first; a circle ends where it closes."""
        seen = {each.id}
        parent = self._export.observations.get(str(each.row.get("parentObservationId")))
        while parent is not None and parent.id not in seen:
            yield parent
            seen.add(parent.id)
            parent = self._export.observations.get(str(parent.row.get("parentObservationId")))

    def _agent(self, each: Observation) -> Observation | None:
        return next((parent for parent in self._parents(each) if parent.kind == "AGENT"), None)

    def _action(self, each: Observation) -> str:
        """The action that an observation belongs to."""
        agent = self._agent(each)
        return agent.id if agent else str(each.row["traceId"])

    def _agent_name(self, each: Observation) -> str:
        agent = each if each.kind == "AGENT" else self._agent(each)
        name = agent.row.get("name") if agent else self._of_trace(each, "traceName") or self._trace(each).get("name")
        return str(name or SOURCE)

    def _turn_of(self, each: Observation) -> int:
        """The turn that made a call: the answer around it, else the last one of the trace that had begun before."""
        around = next((parent for parent in self._parents(each) if parent.kind in ANSWERING), None)
        if around is not None:
            return self._turn_index[around.id]
        times, ids = self._turns[each.row["traceId"]]
        before = bisect_right(times, each.began) - 1
        return self._turn_index[ids[before]] if before >= 0 else 0

    def _land_actions(self) -> None:
        by_trace: dict[str, list[Observation]] = defaultdict(list)
        for each in self._ordered:
            by_trace[each.row["traceId"]].append(each)
        for trace_id in sorted(by_trace.keys() | self._export.traces.keys()):
            held = by_trace[trace_id]
            row, place = self._export.traces.get(trace_id) or ({}, held[0].place)
            said = time_of(row.get("timestamp"))
            began = min([each.began for each in held] + ([said] if said else []))
            ended = max([each.ended for each in held] + ([said] if said else []))
            first = held[0].row if held else {}
            name = str(row.get("name") or first.get("traceName") or "trace")
            roots = [each.row for each in held if not each.row.get("parentObservationId")]
            has_failed = any(root.get("level") == "ERROR" for root in roots)
            about = self._about(row, held[0] if held else None)
            self._begin(trace_id, began, place, name=name, parent=None, extra=about | present(input=row.get("input")))
            self._complete(trace_id, ended, place, row, has_failed=has_failed)
        for each in self._ordered:
            if each.kind == "AGENT":
                name = str(each.row.get("name") or "agent")
                extra = self._about(each.row, each) | present(input=each.row.get("input"))
                self._begin(each.id, each.began, each.place, name=name, parent=self._action(each), extra=extra)
                self._complete(each.id, each.ended, each.place, each.row, has_failed=each.row.get("level") == "ERROR")

    def _about(self, row: Row, each: Observation | None) -> Row:
        """What is known of a trace, whichever row says it."""
        names = {"sessionId": "session_id", "userId": "user_id"} | {name: name for name in ("tags", "environment")}
        found = {ours: row.get(name) or (self._of_trace(each, name) if each else None) for name, ours in names.items()}
        return {name: value for name, value in found.items() if value}

    def _begin(self, action_id: str, ts: datetime, place: Place, *, name: str, parent: str | None, extra: Row) -> None:
        fields = {"action_id": action_id, "agent_id": name, "action_type": name, "parent_action_id": parent}
        self._take(action_id, ts, place, kind="action_begun", **fields, extra=extra)

    def _complete(self, action_id: str, ts: datetime, place: Place, row: Row, *, has_failed: bool) -> None:
        outcome: Row = {"status": "completed"}
        if has_failed:
            outcome = {"status": "error", "error": row.get("statusMessage") or "failed"}
        outcome |= present(output=row.get("output"))
        self._take(action_id, ts, place, kind="action_completed", action_id=action_id, outcome=outcome)

    def _land_turn(self, each: Observation) -> None:
        row = each.row
        model = str(row.get("model") or row.get("providedModelName") or row.get("internalModel") or "unknown")
        tokens = tokens_of(row)
        self._take(
            each.id,
            each.began,
            each.place,
            kind="turn",
            session_id=self._session(each),
            turn_index=self._turn_index[each.id],
            user_id=self._of_trace(each, "userId"),
            agent_id=self._agent_name(each),
            provider=provider_of(row, model),
            model=model,
            user_message=asked(row.get("input")),
            response=answered(row.get("output")),
            project_id=self._of_trace(each, "projectId"),
            **tokens,
            charged_usd=cost_of(row),
            duration_ms=milliseconds(each),
            extra=names_of(row),
        )

    def _land_call(self, each: Observation, turn_index: int, call_index: int) -> None:
        has_failed = each.row.get("level") == "ERROR"
        self._take(
            each.id,
            each.began,
            each.place,
            kind="tool_call",
            session_id=self._session(each),
            turn_index=turn_index,
            call_index=call_index,
            tool_name=name_of(each),
            args=as_object(each.row.get("input"), "input"),
            ok=not has_failed,
            error=error_of(each) if has_failed else None,
            output="" if has_failed else shown(each.row.get("output")),
            duration_ms=milliseconds(each),
            charged_usd=cost_of(each.row),
            project_id=self._of_trace(each, "projectId"),
            extra=names_of(each.row),
        )

    def _land_step(self, each: Observation, action_id: str, step_index: int) -> None:
        row = each.row
        said = answered(row.get("output")) if each.kind in ANSWERING else None
        self._take(
            each.id,
            each.began,
            each.place,
            kind="step",
            action_id=action_id,
            step_index=step_index,
            description=(said or f"{each.kind.lower()} {name_of(each)}")[:DESCRIPTION_CHARS],
            decision=name_of(each),
            state=as_object(row.get("input"), "input") if each.kind not in ANSWERING else {},
            actor=self._agent_name(each),
            extra={"type": each.kind.lower(), "observation_id": each.id},
        )

    def _land_observation(self, each: Observation, action_id: str) -> None:
        output = each.row.get("output")
        if each.kind == "EVENT":
            data, what, ts = present(input=each.row.get("input"), output=output), name_of(each), each.began
        else:
            data, what, ts = {"result": output}, "tool_result", each.ended
        if each.row.get("level") == "ERROR":
            data = {"error": error_of(each)}
        fields = {"action_id": action_id, "observation_type": what, "reported_by": name_of(each), "data": data}
        self._take(each.id, ts, each.place, kind="observation", **fields)

    def _land_error(self, each: Observation) -> None:
        self._take(
            each.id,
            each.ended,
            each.place,
            kind="session_event",
            session_id=self._session(each),
            turn_index=self._turn_index.get(each.id),
            event_type="error",
            content=error_of(each),
            detail={"type": each.kind.lower(), "name": name_of(each), "observation_id": each.id},
        )

    def _land_score(self, row: Row, place: Place) -> None:
        ts = time_of(row.get("timestamp")) or time_of(row.get("createdAt")) or self._known_time(row)
        name, value = str(row["name"]), row.get("stringValue", row.get("value"))
        value = row.get("value") if value is None else value
        about = self._export.observations.get(str(row.get("observationId")))
        action_id = row.get("traceId")
        if about is not None:
            action_id = about.id if about.kind == "AGENT" else self._action(about)
        data = present(
            value=row.get("value"),
            label=row.get("stringValue"),
            data_type=row.get("dataType"),
            comment=row.get("comment"),
            observation_id=row.get("observationId"),
        )
        reported_by = str(row.get("authorUserId") or row.get("source") or "")
        if action_id:
            fields = {"action_id": action_id, "observation_type": name, "data": data, "reported_by": reported_by}
            self._take(row["id"], ts, place, kind="observation", **fields)
        else:
            session_id = row.get("sessionId") or row.get("datasetRunId") or SOURCE
            fields = {"event_type": "review", "content": f"{name}: {shown(value)}", "detail": data}
            self._take(row["id"], ts, place, kind="session_event", session_id=session_id, **fields)

    def _known_time(self, row: Row) -> datetime:
        """When what a score without a time is about came to its end."""
        about = self._export.observations.get(str(row.get("observationId")))
        trace = self._export.traces.get(str(row.get("traceId")))
        said = time_of(trace[0].get("timestamp")) if trace else None
        return about.ended if about else said or midnight(START)


def _isoformat(value: datetime) -> str:
    return value.isoformat()
