"""The loop: model, tool, model again, until there is an answer; what happens is told event by event.

All assets call models through it, those without tools in one turn. Every finished turn has landed before the next
begins, so a run that was killed goes on where it was when the same task is run again: answers come from the cache,
results of tools and notes from the session's own events, and the lake is asked at the recorded version.

An asset is three lines:

    task = Task("users.daily_reports", day, "daily_reports", facts, DailyReport, "pro", 1024, user_id=user)
    answer = write(task, calls)
    row = {**answer.fields, "author": answer.author, "status": answer.status}
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from oplake import events
from oplake.lake.errors import LakeError
from oplake.landing.errors import LandingError
from oplake.synthesis.answers import parse, raw, schema_text
from oplake.synthesis.calls import Calls, Made, Purpose
from oplake.synthesis.client import Client
from oplake.synthesis.errors import OverBudget, SynthesisError
from oplake.synthesis.extractive import NAME as EXTRACTIVE
from oplake.synthesis.injection import fenced, flags_of, injection_flags
from oplake.synthesis.prompts import render, version_of
from oplake.synthesis.query import Query, pin
from oplake.synthesis.session import DELIVERED, Result, Session, due_notes, read_session, told_at_start
from oplake.synthesis.spending import total
from oplake.synthesis.tools import PlaybookTool, Tool
from oplake.synthesis.transcript import Transcript, as_text
from oplake.synthesis.wire import Message, Request, Said, Tier, ToolCall, flaw

NEAR_FULL = 0.8  # of the context, at which the older half is compressed
BETWEEN_COMPRESSIONS = 5  # turns; a digest of a digest of a digest says nothing any more
CALLS_PER_TURN = 8  # of tools; who needs more should ask better
CRITIQUE_TOKENS = 300
CRITIQUE_WORDS = 150
ASSESSMENT_TOKENS = 200
DIGEST_TOKENS = 600
DIGEST_WORDS = 300
OLD = timedelta(hours=24)  # a resumed session that began before is worth a warning: its facts are as old
EVENTS = events.TABLES["session_event"]  # where results of queries land
SESSION_CHARS = 16  # of a hash in a session's id

OK, RAW, SKIPPED, FAILED = "ok", "raw", "skipped: budget", "failed"

EventType: TypeAlias = Literal[
    "thinking", "tool_call", "tool_result", "response", "subtask", "error", "cost_update", "warning", "done"
]


@dataclass(frozen=True)
class Task:
    """What an asset wants written."""

    asset: str
    partition: str
    prompt: str  # the name of a file in prompts/
    facts: Mapping[str, Any]  # what the prompt shows; the embedded author works from them directly
    schema: type[BaseModel]
    tier: Tier
    max_tokens: int
    user_id: str | None = None
    temperature: float = 0.4
    max_turns: int = 1
    uses_query: bool = False  # whether the model may ask the lake; it takes more than one turn
    is_newest: bool = True  # of the partitions of its run: there operator's notes for the asset are told

    @property
    def input_rows(self) -> int:
        """Rows of facts: what stands in lists."""
        return sum(len(value) for value in self.facts.values() if isinstance(value, (list, tuple)))


@dataclass(frozen=True)
class LoopEvent:
    """Something that happened. The last one is `done`, with an `Answer` as `detail["answer"]`."""

    type: EventType
    content: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


class Assessment(BaseModel):
    """How far the author's critic thinks that a report can be relied on."""

    model_config = ConfigDict(strict=True, extra="forbid")

    score: Annotated[int, Field(ge=0, le=100)]
    reasons: Annotated[list[str], Field(min_length=1, max_length=10)]


@dataclass(frozen=True)
class Answer:
    """What came of a task, and what it took."""

    status: str  # ok; raw: it fits no schema, after a repair; skipped: budget; failed
    fields: Mapping[str, Any]  # of the schema; `summary` and `raw` where it fits none; nothing without an answer
    author: str  # the model that answered, or `extractive`; empty when nobody did
    provider: str
    session_id: str
    prompt_hash: str
    prompt_version: str
    value: BaseModel | None = None
    error: str | None = None
    results: tuple[str, ...] = ()  # what its queries gave
    evidence: tuple[
        tuple[str, str, tuple[str, ...]], ...
    ] = ()  # their cites, and table and ids of the rows they lead to
    injection_flags: tuple[str, ...] = ()  # patterns in what came from outside
    score: int | None = None
    reasons: tuple[str, ...] = ()
    critique: str = ""
    cost_usd: Decimal | None = Decimal()  # None: some model has no price
    input_tokens: int = 0
    output_tokens: int = 0
    duration_ms: float = 0.0
    call_count: int = 0
    cached_count: int = 0


def write(task: Task, calls: Calls) -> Answer:
    """The answer to a task, whatever happened on the way."""
    *_, last = run(task, calls)
    answer: Answer = last.detail["answer"]
    return answer


def run(task: Task, calls: Calls) -> Iterator[LoopEvent]:
    """Works on a task; gives what happens, `done` at last. Nothing is raised: errors are an `error`, then `done`."""
    work = _Work(task, calls)
    try:
        yield from work.steps()
    except OverBudget as error:
        work.status = SKIPPED
        yield work.failed(error)
    except Exception as error:  # noqa: BLE001  # whatever it is, one user's failure must not stop the others
        if work.said is None:
            work.status = FAILED
        yield work.failed(error)
    yield work.done()


Steps: TypeAlias = Generator[LoopEvent, None, None]


class _Work:
    """One task being worked on."""

    def __init__(self, task: Task, calls: Calls) -> None:
        self.task = task
        self.calls = calls
        self.memory = calls.memory
        self._is_model = isinstance(calls.author, Client)  # else the embedded author, who reads facts alone
        self.status = OK
        self.session = Session(_session_id(task, "", []))
        self.said: Made | None = None  # the answer
        self.value: BaseModel | None = None
        self._made: list[Made] = []
        self._index = 0  # of calls: the turn_index of the next one
        self._failures = len(calls.failures)
        self._flags: set[str] = set(flags_of(task.facts))
        self._compressed_at: int | None = None
        self._tools: dict[str, Tool] = {}
        self._start_notes: list[str] = []
        self._results: dict[str, Result] = {}  # of queries, by the cite that they go by
        self._critique = ""
        self._assessment: Assessment | None = None
        self._error: str | None = None
        self._version = ""

    @property
    def _is_replay(self) -> bool:
        return self._index in self.session.turns

    # --- the work ----------------------------------------------------------------------------------------------------

    def steps(self) -> Steps:
        """Everything up to the answer and its review."""
        task = self.task
        asked = render(task.prompt, task.facts)
        self._version = version_of("system", task.prompt)
        system = {"tools": task.uses_query, "max_turns": task.max_turns, "schema": schema_text(task.schema)}
        transcript = Transcript(render("system", system).text, asked.text)
        yield from self._begin(transcript)
        for turn in range(task.max_turns):
            yield from self._compress(transcript)
            marks = yield from self._tell_notes(transcript)
            is_last = turn == task.max_turns - 1
            asking = self._request(transcript, with_tools=not is_last)
            made = yield from self._call(asking, "answer", self._version, also=marks)
            transcript.answer(made.said)
            if not made.said.tool_calls:
                break
            yield from self._use_tools(transcript, made.said)
        yield self._event("response", made.said.content)
        yield from self._validate(transcript, made)
        if self._is_model:
            yield from self._review("\n".join(transcript.evidence))

    def _begin(self, transcript: Transcript) -> Steps:
        task, memory = self.task, self.memory
        key = self.calls.author.key(self._request(transcript, with_tools=False))
        told = told_at_start(memory, task.asset, task.partition, task.user_id) if self._is_model else []
        self.session = read_session(memory, _session_id(task, key, told))
        due = [note["event_id"] for note in self._due_notes()]
        if due and (self.session.is_finished or not self.session.turns):
            self.session = read_session(memory, _session_id(task, key, [*told, *due]))
            told += due
        self._start_notes = told
        if self._flags:
            names = ", ".join(sorted(self._flags))
            yield self._event("warning", f"the facts hold text that looks like instructions: {names}", flags=names)
        if task.uses_query and self._is_model:
            yield from self._pin_lake()

    def _pin_lake(self) -> Steps:
        """The lake as it was when the work began; the versions land before anything is asked of it."""
        session, lake = self.session, self.memory.lake
        if session.begun_at is not None:
            query = self._take_tools(session.versions)
            if session.is_finished:  # every answer and result is there, though those versions may be gone
                return
            age = self.memory.now() - session.begun_at
            if age > OLD:
                hours = age.total_seconds() / 3600
                yield self._event("warning", f"this work was begun {hours:.0f} h ago and sees the lake as it was then")
            try:
                query.check()
                return
            except LakeError as error:
                yield self._event("warning", f"the lake cannot be seen as it was when this work began: {error}")
        versions = pin(lake)
        detail = {"asset": self.task.asset, "partition": self.task.partition, "user_id": self.task.user_id}
        content = msgspec.json.encode(versions).decode()
        self.memory.land([self._session_event("checkpoint", content, detail)])
        self._take_tools(versions)

    def _take_tools(self, versions: Mapping[str, int]) -> Query:
        query = Query(self.memory.lake, versions)
        playbook = PlaybookTool(self.calls.settings.served)
        self._tools = {query.name: query, playbook.name: playbook}
        return query

    def _request(self, transcript: Transcript, *, with_tools: bool) -> Request:
        task = self.task
        tools = tuple(tool.definition for tool in self._tools.values()) if with_tools else ()
        return Request(
            transcript.messages, task.tier, task.max_tokens, task.temperature, task.schema, tools, facts=task.facts
        )

    def _due_notes(self, session_id: str = "") -> list[dict[str, Any]]:
        """Operator's notes to be told now. The embedded author could not heed them: they wait for a model."""
        if not self._is_model:
            return []
        task = self.task
        return due_notes(
            self.memory, task.asset, task.partition, task.user_id, is_newest=task.is_newest, session_id=session_id
        )

    def _tell_notes(self, transcript: Transcript) -> Generator[LoopEvent, None, list[dict[str, Any]]]:
        """Adds the operator's notes that are due before this call; returns what marks them as delivered.

        Whoever may land events may write one, so it is fenced and flagged like all text from outside.
        """
        memory, task, index = self.memory, self.task, self._index
        if index == 0:
            notes = memory.find("operator_note", event_id=self._start_notes) if self._start_notes else []
        elif self._is_replay:
            notes = memory.find("operator_note", event_id=self.session.notes.get(index, []))
        else:
            notes = self._due_notes(self.session.session_id)
        for note in notes:
            transcript.tell(render("operator_note", {"message": note["message"]}).text, is_kept=True)
            yield from self._flag("an operator's note", note["message"])
        if self._is_replay:
            return []
        due = {note["event_id"] for note in self._due_notes(self.session.session_id)}
        return [
            self._session_event(
                "audit",
                note["message"],
                {
                    "level": "info",
                    "action": DELIVERED,
                    "details": note["event_id"],
                    "asset": task.asset,
                    "partition": task.partition,
                    "user_id": task.user_id,
                },
            )
            for note in notes
            if note["event_id"] in due
        ]

    def _call(
        self, request: Request, step: str, version: str, *, also: Sequence[Mapping[str, Any]] = ()
    ) -> Generator[LoopEvent, None, Made]:
        """One call of a model, and the events that it brings about; `version` is that of the prompts it is made of.

        Raises:
            SynthesisError: Nobody answered, or it is nothing to work with.
        """
        task = self.task
        purpose = Purpose(
            task.asset,
            task.partition,
            task.user_id,
            step,
            version,
            self.session.session_id,
            self._index,
            task.input_rows,
        )
        try:
            made = self.calls.make(request, purpose, is_replay=self._is_replay, also=also)
        finally:
            failures, self._failures = self.calls.failures[self._failures :], len(self.calls.failures)
        for failure in failures:  # without another provider it is raised, and told as an error
            yield LoopEvent("warning", f"{failure.provider} failed ({failure.error}); asked instead: {failure.instead}")
        self._made.append(made)
        self._index += 1
        if made.said.thinking:
            yield self._event("thinking", made.said.thinking)
        cost = {"cost_usd": made.cost_usd, "run_usd": self.calls.run.spent_usd, "is_cached": made.is_cached}
        yield LoopEvent(
            "cost_update", f"{made.model}: {made.tokens.input_tokens + made.tokens.output_tokens} tokens", cost
        )
        problem = flaw(made.said, request)
        if problem:
            raise SynthesisError(problem)
        return made

    def _use_tools(self, transcript: Transcript, said: Said) -> Steps:
        """Runs the calls of a turn, or takes their landed results; all results land before the model sees any."""
        turn = self._index - 1
        results: list[Result] = []
        happened: list[dict[str, Any]] = []
        for number, call in enumerate(said.tool_calls):
            arguments, problem = _arguments(call)
            yield LoopEvent("tool_call", call.name, {"arguments": arguments, "call_id": call.id})
            recorded = self.session.results.get((turn, number))
            if problem and recorded is None:
                yield self._event("warning", problem)
            if recorded is not None:
                results.append(recorded)
                continue
            began = self.memory.now()
            result = self._use(call.name, arguments, number)
            took_ms = max(0.0, (self.memory.now() - began).total_seconds() * 1000)
            if result.is_escape:
                yield self._event(
                    "warning", f"{call.name} was used for more than it may do: {result.text}", arguments=arguments
                )
            results.append(result)
            happened += self._tool_events(turn, number, call, arguments, result, took_ms)
        landed = self.memory.land(happened) if happened else []
        artifacts = iter([event for event in landed if isinstance(event, events.SessionEvent)])
        for number, (call, result) in enumerate(zip(said.tool_calls, results, strict=True)):
            is_new = (turn, number) not in self.session.results
            artifact = next(artifacts) if is_new else None
            # As landing will give it again: redacted.
            kept = replace(result, text=artifact.content, event_id=artifact.event_id) if artifact else result
            text = kept.text
            evidence = f"q{turn}.{number}"
            if kept.is_ok:
                self._results[evidence] = kept
            yield from self._flag(f"the result {evidence}", text)
            transcript.result(call.id, fenced(text, f"result {evidence}"), evidence)
            yield LoopEvent("tool_result", text, {"is_ok": result.is_ok, "evidence": evidence, "call_id": call.id})

    def _flag(self, what: str, text: str) -> Iterator[LoopEvent]:
        """Flags what in a text from outside looks like instructions."""
        found = injection_flags(text)
        if found:
            self._flags |= set(found)
            names = ", ".join(found)
            yield self._event("warning", f"{what} looks like instructions: {names}", flags=names)

    def _use(self, name: str, arguments: Mapping[str, Any], number: int) -> Result:
        if number >= CALLS_PER_TURN:
            return Result(f"error: more than {CALLS_PER_TURN} calls in one turn", is_ok=False, is_escape=False)
        if name not in self._tools:
            return Result(f"error: there is no tool {name!r}", is_ok=False, is_escape=False)
        result = self._tools[name].call(arguments)
        return Result(result.text, result.is_ok, result.is_escape)

    def _tool_events(
        self, turn: int, number: int, call: ToolCall, arguments: Mapping[str, Any], result: Result, took_ms: float
    ) -> list[dict[str, Any]]:
        """A call as any agent's lands, and its whole result."""
        detail = {"call_index": number, "tool_name": call.name, "is_ok": result.is_ok, "is_escape": result.is_escape}
        return [
            {
                "kind": "tool_call",
                "session_id": self.session.session_id,
                "turn_index": turn,
                "call_index": number,
                "tool_name": call.name,
                "tool_call_id": call.id,
                "args": dict(arguments),
                "ok": result.is_ok,
                "error": None if result.is_ok else result.text,
                "output": result.text,
                "duration_ms": took_ms,
            },
            self._session_event("artifact", result.text, detail, turn=turn),
        ]

    def _compress(self, transcript: Transcript) -> Steps:
        """Makes room before a call when there is little left."""
        room = self.calls.settings.llm_context_tokens - self.task.max_tokens
        if transcript.tokens < NEAR_FULL * room:
            return
        turn, last = self._index, self._compressed_at
        is_allowed = last is None or turn - last >= BETWEEN_COMPRESSIONS
        older = transcript.older_half() if is_allowed else []
        if older:
            self._compressed_at = turn
            if turn in self.session.dropped:
                digest, self._index = "", self.session.dropped[turn]
            else:
                digest = yield from self._digest(older)
                if not digest or turn not in self.session.turns:
                    detail = {"has_digest": bool(digest), "messages": len(older), "next_turn": self._index}
                    self.memory.land([self._session_event("compressed", digest, detail, turn=turn)])
            transcript.compress(digest)
        if transcript.tokens > room:
            raise SynthesisError(
                f"the facts and what was found take about {transcript.tokens} tokens, more than the {room} that "
                "OPLAKE_LLM_CONTEXT_TOKENS leaves for them"
            )

    def _digest(self, older: Sequence[Message]) -> Generator[LoopEvent, None, str]:
        yield LoopEvent("subtask", f"a digest of {len(older)} messages")
        prompt = render("digest", {"transcript": as_text(older), "words": DIGEST_WORDS})
        try:
            made = yield from self._call(_aside(prompt.text, DIGEST_TOKENS), "digest", prompt.version)
        except SynthesisError as error:
            yield self._event("warning", f"no digest, so the older half is dropped: {error}")
            return ""
        return "Digest of earlier turns:\n" + fenced(made.said.content, "digest")

    def _validate(self, transcript: Transcript, made: Made) -> Steps:
        """Holds an answer to the schema, with one round of repair.

        Raises:
            SynthesisError: The repair could not be had; as long as that may come, there is no answer.
        """
        parsed = parse(made.said.content, self.task.schema)
        if parsed.value is None and self._is_model:
            yield self._event(
                "warning", f"the answer does not fit the schema, and is asked for again: {parsed.problem}"
            )
            transcript.tell(render("repair", {"problem": parsed.problem}).text)
            version = version_of("system", self.task.prompt, "repair")
            made = yield from self._call(self._request(transcript, with_tools=False), "repair", version)
            parsed = parse(made.said.content, self.task.schema)
        self.said, self.value = made, parsed.value
        if parsed.value is None:
            self.status = RAW
            yield self._event(
                "warning", f"the answer is kept as it is, for it does not fit the schema: {parsed.problem}"
            )

    def _review(self, facts: str) -> Steps:
        """Self-critique and self-assessment by the flash model. The answer stands, whatever becomes of them."""
        assert self.said is not None
        answer = self.said.said.content
        try:
            yield LoopEvent("subtask", "self-critique")
            prompt = render("critique", {"facts": facts, "answer": answer, "words": CRITIQUE_WORDS})
            critique = yield from self._call(_aside(prompt.text, CRITIQUE_TOKENS), "self_critique", prompt.version)
            self._critique = critique.said.content
            self._land("self_critique", self._critique)
            yield LoopEvent("subtask", "self-assessment")
            prompt = render("assessment", {"answer": answer, "critique": self._critique})
            asking = _aside(prompt.text, ASSESSMENT_TOKENS, Assessment)
            assessed = yield from self._call(asking, "self_assessment", prompt.version)
        except SynthesisError as error:
            yield self._event("warning", f"the answer was not reviewed: {error}")
            return
        parsed = parse(assessed.said.content, Assessment)
        if isinstance(parsed.value, Assessment):
            self._assessment = parsed.value
            self._land("confidence", "", score=parsed.value.score, reasons=parsed.value.reasons)
        else:
            yield self._event("warning", f"the self-assessment is of no use: {parsed.problem}")

    # --- telling -----------------------------------------------------------------------------------------------------

    def _land(self, event_type: str, content: str, **detail: Any) -> None:
        """Lands an event of the session, unless it stands there from before the run was killed."""
        turn = max(0, self._index - 1)  # the last one that was finished
        if (event_type, turn, content) not in self.session.events:
            self.memory.land([self._session_event(event_type, content, detail, turn=turn)])

    def _event(self, type_: EventType, content: str, **detail: Any) -> LoopEvent:
        self._land(type_, content, **detail)
        return LoopEvent(type_, content, detail)

    def _session_event(
        self, event_type: str, content: str, detail: Mapping[str, Any], *, turn: int | None = None
    ) -> dict[str, Any]:
        return {
            "kind": "session_event",
            "session_id": self.session.session_id,
            "turn_index": self._index if turn is None else turn,
            "event_type": event_type,
            "content": content,
            "detail": detail,
        }

    def failed(self, error: Exception) -> LoopEvent:
        """An error, told even where nothing can land any more."""
        self._error = str(error) if isinstance(error, SynthesisError) else f"{type(error).__name__}: {error}"
        with suppress(LandingError):
            self._land("error", self._error)
        return LoopEvent("error", self._error)

    def done(self) -> LoopEvent:
        """The end, with the answer."""
        made, said = self._made, self.said
        author = "" if said is None else said.model if self._is_model else EXTRACTIVE
        if self.value is not None:
            fields = self.value.model_dump(mode="json")
        else:
            fields = {} if said is None else raw(said.said.content)
        answer = Answer(
            status=self.status,
            fields=fields,
            author=author,
            provider="" if said is None else said.provider,
            session_id=self.session.session_id,
            prompt_hash="" if said is None else said.prompt_hash,
            prompt_version=self._version,
            value=self.value,
            error=self._error,
            results=tuple(each.text for each in self._results.values()),
            evidence=tuple((cite, EVENTS, (each.event_id,)) for cite, each in self._results.items()),
            injection_flags=tuple(sorted(self._flags)),
            score=self._assessment.score if self._assessment else None,
            reasons=tuple(self._assessment.reasons) if self._assessment else (),
            critique=self._critique,
            cost_usd=total(each.cost_usd for each in made),
            input_tokens=sum(each.tokens.input_tokens for each in made),
            output_tokens=sum(each.tokens.output_tokens for each in made),
            duration_ms=sum(each.duration_ms for each in made),
            call_count=len(made),
            cached_count=sum(each.is_cached for each in made),
        )
        detail = {
            "asset": self.task.asset,
            "partition": self.task.partition,
            "user_id": self.task.user_id,
            "status": answer.status,
            "author": answer.author,
            "prompt_hash": answer.prompt_hash,
            "prompt_version": answer.prompt_version,
            "injection_flags": list(answer.injection_flags),
            "score": answer.score,
            "cached_count": answer.cached_count,
            "call_count": answer.call_count,
        }
        if self.said is not None:  # a session that gave no answer ended with its error, and counts as such
            with suppress(LandingError):
                self.memory.land([self._session_event("done", answer.status, detail)])
        return LoopEvent("done", answer.status, {"answer": answer})


def _session_id(task: Task, key: str, notes: Sequence[str]) -> str:
    """The same for the same work: the same facts, the same instructions, the same notes told at its start."""
    named = msgspec.json.encode([task.asset, task.partition, task.user_id, task.uses_query, key, list(notes)])
    return f"{task.asset}/{task.partition}/{sha256(named).hexdigest()[:SESSION_CHARS]}"


def _aside(prompt: str, max_tokens: int, schema: type[BaseModel] | None = None) -> Request:
    """A request to the flash model beside the conversation."""
    return Request(({"role": "user", "content": prompt},), "flash", max_tokens, schema=schema)


def _arguments(call: ToolCall) -> tuple[dict[str, Any], str]:
    """The arguments of a call; none, and what is wrong, where they are no object of JSON."""
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return {}, f"the arguments of {call.name} are malformed, and count as none: {error}"
    if not isinstance(arguments, dict):
        return {}, f"the arguments of {call.name} are no object, and count as none"
    return arguments, ""
