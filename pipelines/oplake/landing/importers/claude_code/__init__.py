"""Session transcripts of Claude Code -> turns, tool calls, patches and session events.

Claude Code writes a file of JSON lines per session below `~/.claude/projects/<project>/`, and one per sub-agent beside
it or in `<session>/subagents/`; older versions put the sub-agents' lines into the session's own file.

**A turn is one answer of the model**, which is what is priced. Its blocks stand on lines of their own, each with the
usage as it was known by then: the largest figures count, once. Lines and answers that a resumed or forked session
repeats count once over all files, for the session that has them first. `input_tokens` there excludes what was read from
and written to the cache; ours includes both. What the user said stands on the turn that answered it. A sub-agent's
turns belong to the session that it worked for, with an `agent_id` that names its type.

**Order and time.** `turn_index` goes by the time of a session's turns, those of sub-agents among them. Durations go
from the line before an answer to its last one, and from a tool's call to its result, unless the lines say better.

**A session that is being written** grows: what has no end yet, an answer or a tool's result, is left to the next
import. Whether it may still come is the only thing that the time of the import decides.

Not taken are thinking, attachments, snapshots, progress and titles; the lines are counted by type. Where transcripts
lie is in `files`, what a line says in `lines`, what is counted in `history`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from oplake.landing.importers import START, Imported, Intake, OfPiece, Place, Progress, midnight
from oplake.landing.importers.claude_code.files import File, sessions
from oplake.landing.importers.claude_code.history import History, ModelUse, Tokens, ToolUse
from oplake.landing.importers.claude_code.lines import (
    ARG_CHARS,
    TEXT_CHARS,
    Call,
    Result,
    Unreadable,
    answer_key,
    as_typed,
    content_of,
    cut,
    decode,
    hash_of,
    is_queued,
    most,
    present,
    provider_of,
    result_of,
    text_of,
    ts_of,
    usage_of,
)
from oplake.landing.importers.jsonl import lines_of
from oplake.landing.writer import SegmentWriter

SOURCE = "claude-code"
SYNTHETIC = "<synthetic>"  # the model of what Claude Code says itself
STILL_WRITTEN = timedelta(hours=1)  # a session whose last line is younger may go on: no answer and no tool takes longer
PROGRESS_LINES = 500  # between two reports of progress

DELEGATING = frozenset({"Task", "Agent"})  # tools that start a sub-agent
NOT_TAKEN = frozenset(
    {
        *("agent-name", "ai-title", "attachment", "bridge-session", "cost-state", "custom-title"),
        *("file-history-snapshot", "last-prompt", "mode", "permission-mode", "pr-link", "progress"),
        *("queue-operation", "summary", "tag"),
    }
)
"""Types of lines that are known, and of which nothing is taken."""

_COMPRESSED = frozenset({"compact_boundary", "microcompact_boundary"})
_INTERRUPTED = "[Request interrupted by user"
_LOCAL = ("<local-command-", "<bash-stdout>", "<bash-stderr>", "<task-notification>")  # how output begins, not a prompt


@dataclass
class _Answer:
    """One answer of the model, put together from its lines."""

    key: str
    session_id: str
    chain: str
    agent_id: str
    place: Place
    ts: datetime
    last_ts: datetime
    asked_at: datetime | None
    model: str
    common: dict[str, Any]
    user_message: str | None
    usage: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    stop_reason: str | None = None
    charged_usd: float | None = None
    duration_ms: float | None = None
    order: tuple[Any, ...] = ()
    turn_index: int = -1

    def add(self, text: str) -> None:
        """Take a text in, unless an earlier line had it, or had the beginning of it."""
        if self.texts and text.startswith(self.texts[-1]):
            self.texts[-1] = text
        elif text and text not in self.texts and sum(map(len, self.texts)) < TEXT_CHARS:
            self.texts.append(text)


@dataclass
class _Happening:
    """An event of a session, and the answer that it belongs to."""

    key: str
    session_id: str
    ts: datetime
    event_type: str
    content: str
    detail: dict[str, Any]
    place: Place
    answer: _Answer | None


@dataclass
class _Chain:
    """A conversation with one agent, as far as it has been read."""

    name: str  # the sub-agent; empty for the agent that the user talks to
    agent_id: str
    asked_at: datetime | None = None
    pending: list[str] = field(default_factory=list)  # what the user said that was not answered yet
    last: _Answer | None = None


def import_claude_code(
    folder: Path, writer: SegmentWriter, *, received_at: datetime, progress: Progress | None = None
) -> tuple[Imported, History]:
    """Land the transcripts below a folder.

    Args:
        folder: `~/.claude`, its `projects`, one project, or a single transcript.
        writer: Where they land.
        received_at: The time of the import.

    Returns:
        What landed, and what it says. Lines that cannot be used are rejects with file, line and offset.

    Raises:
        NotImportable: There is no transcript.
        LandingError: The events cannot be made durable.
    """
    history = History()
    groups = sessions(folder, history)
    total = sum(file.size for group in groups for file in group)
    done = 0
    with Intake(writer, OfPiece(SOURCE), name=SOURCE, received_at=received_at, begins=midnight(START)) as intake:
        reader = _Reader(intake, history, received_at)
        for group in groups:
            reader.read(group, partial(_report_after, partial(_report, progress, total), done))
            done += sum(file.size for file in group)
            _report(progress, total, done)
    return intake.imported(), history


def _report(progress: Progress | None, total: int, done: int) -> None:
    if progress:
        progress(done, total)


def _report_after(report: Callable[[int], None], before: int, read: int) -> None:
    report(before + read)


class _Reader:
    """Reads one session after the other, and remembers which lines and answers it has seen."""

    def __init__(self, intake: Intake, history: History, received_at: datetime) -> None:
        self._intake = intake
        self._history = history
        self._received_at = received_at
        self._seen: set[bytes] = set()  # lines and answers of all files so far, 8 bytes each
        self._turns: Counter[str] = Counter()  # by session
        self._projects: dict[str, str] = {}  # of each session

    def read(self, group: Sequence[File], report: Callable[[int], None]) -> None:
        """Land a session with its sub-agents. It is held in memory, with its texts cut, until it is read."""
        self._answers: dict[str, _Answer] = {}
        self._happenings: list[_Happening] = []
        self._calls: dict[str, Call] = {}
        self._types: dict[str, str] = {}  # of sub-agents, by the hash of what they were asked
        self._group_seen: set[bytes] = set()
        lasts = [file.last for file in group if file.last]
        is_written = not lasts or self._received_at - max(lasts) < STILL_WRITTEN
        done = 0
        for number, file in enumerate(group):
            try:
                with file.path.open("rb") as stream:
                    self._read_file(file, number, stream, is_written, partial(_report_after, report, done))
            except OSError as error:
                self._history.unreadable[str(file.path)] = error.strerror or str(error)
            done += file.size
        self._land(is_written)
        self._seen |= self._group_seen

    def _read_file(
        self, file: File, number: int, stream: BinaryIO, is_written: bool, report: Callable[[int], None]
    ) -> None:
        chains: dict[str, _Chain] = {}
        roots: dict[str, str] = {}  # of the lines of sub-agents in this file, the line that began each
        ts = file.first or midnight(START)
        for line_number, byte_offset, raw, length in lines_of(stream):
            place = Place(line_number, byte_offset, file=file.path.name)
            if byte_offset >= file.size:
                break  # it has grown meanwhile
            if line_number % PROGRESS_LINES == 0:
                report(byte_offset)
            if length > len(raw):
                self._refuse(raw, f"the line has {length} bytes; at most {len(raw)} are read", place, ts)
                continue
            try:
                line = decode(raw)
                if not isinstance(line, dict):
                    raise Unreadable("it is no object")
                ts = ts_of(line) or ts
                self._read_line(line, raw, place, (number, line_number), file, chains, roots)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if is_written and byte_offset + len(raw) >= file.size:
                    self._history.unfinished += 1  # it has no newline: Claude Code is writing it
                else:
                    self._refuse(raw, f"not JSON: {error}", place, ts)
            except Unreadable as error:
                self._refuse(raw, str(error), place, ts)
        for chain in chains.values():
            if chain.pending and is_written:
                self._history.unfinished += len(chain.pending)
            elif chain.pending:
                self._history.not_taken["user (never answered)"] += len(chain.pending)

    def _refuse(self, raw: bytes, reason: str, place: Place, ts: datetime) -> None:
        self._intake.advance(f"{place.file}\0{place.byte_offset}\0".encode() + raw)
        self._intake.refuse(raw, reason=reason, place=place, ts=ts)

    def _read_line(
        self,
        line: dict[str, Any],
        raw: bytes,
        place: Place,
        order: tuple[int, int],
        file: File,
        chains: dict[str, _Chain],
        roots: dict[str, str],
    ) -> None:
        kind = str(line.get("type"))
        if kind not in ("user", "assistant", "system") and not is_queued(line):
            (self._history.not_taken if kind in NOT_TAKEN else self._history.unknown)[kind[:40]] += 1
            return
        uuid = line.get("uuid")
        if self._is_repeated(f"line/{uuid}".encode() if isinstance(uuid, str) else raw):
            return
        ts = ts_of(line)
        if ts is None:
            raise Unreadable(f"a line of type {kind!r} needs a timestamp")
        said = line.get("sessionId")
        session_id = said if isinstance(said, str) and said and not file.is_agent else file.session_id
        cwd = line.get("cwd")
        if isinstance(cwd, str) and cwd:
            self._projects.setdefault(session_id, cwd)
        chain = self._chain(line, file, chains, roots)
        if kind == "assistant":
            self._assistant(line, ts, session_id, chain, place, order)
        elif kind == "system":
            self._system(line, ts, session_id, chain, place)
        else:
            self._user(line, ts, session_id, chain, place)

    def _is_repeated(self, key: bytes) -> bool:
        """Whether a line or an answer was there before. 8 bytes: of a million, two are alike once in 10^7 imports."""
        digest = blake2b(key, digest_size=8).digest()
        if digest in self._seen or digest in self._group_seen:
            self._history.repeated += 1
            return True
        self._group_seen.add(digest)
        return False

    def _chain(self, line: Mapping[str, Any], file: File, chains: dict[str, _Chain], roots: dict[str, str]) -> _Chain:
        """The conversation that a line belongs to: that of the user, or of one sub-agent."""
        name = ""
        if file.is_agent or line.get("isSidechain") is True:
            agent_id, uuid, parent = line.get("agentId"), str(line.get("uuid")), line.get("parentUuid")
            root = roots[uuid] = roots.get(str(parent), uuid)
            name = agent_id if isinstance(agent_id, str) else file.path.stem if file.is_agent else root
        if name not in chains:
            chains[name] = _Chain(name, f"{SOURCE}/{self._type_of(line, file)}" if name else SOURCE)
        return chains[name]

    def _type_of(self, line: Mapping[str, Any], file: File) -> str:
        """The type of a sub-agent: as is said beside its file, else by what it was asked: who asked said it, too."""
        said = line.get("attributionAgent")
        asked = self._types.get(hash_of(text_of(content_of(line))))
        return file.agent_type or asked or (said if isinstance(said, str) and said else "subagent")

    def _assistant(
        self, line: dict[str, Any], ts: datetime, session_id: str, chain: _Chain, place: Place, order: tuple[int, int]
    ) -> None:
        message = line.get("message")
        if not isinstance(message, dict):
            raise Unreadable("an assistant's line needs a message")
        content = content_of(line)
        model = message.get("model")
        if model == SYNTHETIC or line.get("isApiErrorMessage") is True:
            if line.get("isApiErrorMessage") is True:
                detail = present(error=line.get("error"), status=line.get("apiErrorStatus"))
                self._happen(line, ts, session_id, "error", text_of(content), detail, place, chain)
            else:
                self._history.not_taken["assistant " + SYNTHETIC] += 1
            return
        usage = usage_of(message.get("usage"))
        key = answer_key(line, message)
        if key not in self._answers:
            if self._is_repeated(f"answer/{key}".encode()):
                return
            self._answers[key] = _Answer(
                key=key,
                session_id=session_id,
                chain=chain.name,
                agent_id=chain.agent_id,
                place=place,
                ts=ts,
                last_ts=ts,
                asked_at=chain.asked_at,
                model=str(model or "unknown"),
                common=present(
                    version=line.get("version"), git_branch=line.get("gitBranch") or None, agent=chain.name or None
                ),
                user_message="\n\n".join(chain.pending)[:TEXT_CHARS] or None,
                order=(ts, *order),
            )
            chain.pending = []
        answer = self._answers[key]
        chain.last, chain.asked_at = answer, ts
        answer.last_ts = max(answer.last_ts, ts)
        answer.usage |= usage  # the larger of each: a line may have been written before the answer was complete
        answer.stop_reason = message.get("stop_reason") or answer.stop_reason
        answer.charged_usd = most(answer.charged_usd, line.get("costUSD"))
        answer.duration_ms = most(answer.duration_ms, line.get("durationMs"))
        for block in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if not isinstance(block, dict):
                continue
            if block.get("type") == "text":
                answer.add(text_of([block])[:TEXT_CHARS])
            elif block.get("type") == "tool_use":
                self._tool_use(block, line, answer, ts, place, chain)

    def _tool_use(
        self, block: dict[str, Any], line: dict[str, Any], answer: _Answer, ts: datetime, place: Place, chain: _Chain
    ) -> None:
        given = block.get("input")
        args = given if isinstance(given, dict) else {"input": given}
        name = str(block.get("name") or "unknown")
        said = block.get("id")
        id_ = said if isinstance(said, str) else f"{answer.key}/{len(answer.calls)}"
        if id_ in (known.id for known in answer.calls):
            return  # an earlier line had it
        call = Call(id_, name, cut(args), ts)
        answer.calls.append(call)
        self._calls[call.id] = call
        if name in DELEGATING:
            kind = str(args.get("subagent_type") or "subagent")
            self._types[hash_of(str(args.get("prompt") or ""))] = kind
            content = str(args.get("description") or args.get("prompt") or "")[:TEXT_CHARS]
            detail = {"subagent_type": kind, "tool_call_id": call.id}
            self._happen(line, ts, answer.session_id, "subtask", content, detail, place, chain, part=call.id)

    def _user(self, line: dict[str, Any], ts: datetime, session_id: str, chain: _Chain, place: Place) -> None:
        if is_queued(line):
            prompt = line["attachment"].get("prompt")
            chain.pending.append(text_of(prompt)[:TEXT_CHARS])
            return
        content = content_of(line)
        if content is None:
            raise Unreadable("a user's line needs a message with content")
        parts = content if isinstance(content, list) else []
        results = [each for each in parts if isinstance(each, dict) and each.get("type") == "tool_result"]
        for block in results:
            call = self._calls.get(str(block.get("tool_use_id")))
            if call is not None and call.result is None:
                call.result = result_of(block, line.get("toolUseResult") if len(results) == 1 else None, call, ts)
        text = text_of(content)
        if text.startswith(_INTERRUPTED):
            self._happen(line, ts, session_id, "warning", text, {}, place, chain)
        elif line.get("isMeta") is True or line.get("isCompactSummary") is True:
            self._history.not_taken["user (written by Claude Code)"] += 1
        elif text and not text.startswith(_LOCAL):
            chain.pending.append(as_typed(text)[:TEXT_CHARS])
        chain.asked_at = ts

    def _system(self, line: dict[str, Any], ts: datetime, session_id: str, chain: _Chain, place: Place) -> None:
        subtype = str(line.get("subtype"))
        content = text_of(line.get("content"))
        if subtype in _COMPRESSED:
            metadata = line.get("compactMetadata") or line.get("microcompactMetadata")
            detail = metadata if isinstance(metadata, dict) else {}
            self._happen(line, ts, session_id, "compressed", content, {"subtype": subtype, **detail}, place, chain)
        elif subtype == "api_error":  # which is tried again; when that is given up, an assistant's line says so
            error = line.get("error")
            detail = present(
                status=error.get("status") if isinstance(error, dict) else None,
                attempt=line.get("retryAttempt"),
                max_attempts=line.get("maxRetries"),
            )
            self._happen(line, ts, session_id, "warning", content or "API error", detail, place, chain)
        elif subtype.endswith("_fallback"):
            self._happen(line, ts, session_id, "fallback", content, {"error": subtype}, place, chain)
        else:
            self._history.not_taken[f"system {subtype}"[:40]] += 1

    def _happen(
        self,
        line: Mapping[str, Any],
        ts: datetime,
        session_id: str,
        event_type: str,
        content: str,
        detail: dict[str, Any],
        place: Place,
        chain: _Chain,
        part: str = "",
    ) -> None:
        uuid = line.get("uuid")
        key = f"{uuid if isinstance(uuid, str) else f'{place.file}/{place.byte_offset}'}/{part}"
        self._happenings.append(
            _Happening(key, session_id, ts, event_type, content[:TEXT_CHARS], cut(detail), place, chain.last)
        )

    # -- Landing -------------------------------------------------------------------------------------------------------

    def _land(self, is_written: bool) -> None:
        """Number the turns of the sessions read, and land them with all that belongs to them."""
        ends = {(answer.session_id, answer.chain): answer for answer in self._answers.values()}  # the last of each
        for answer in sorted(self._answers.values(), key=lambda each: each.order):
            answer.turn_index = self._turns[answer.session_id]
            self._turns[answer.session_id] += 1
            if is_written and ends[answer.session_id, answer.chain] is answer and not answer.stop_reason:
                self._history.unfinished += 1
                continue
            self._land_turn(answer)
            for index, call in enumerate(answer.calls):
                if call.result is None and is_written:
                    self._history.unfinished += 1
                else:
                    self._land_call(answer, index, call)
        for happening in self._happenings:
            self._land_happening(happening)

    def _take(self, key: str, ts: datetime, place: Place, **event: Any) -> None:
        piece = f"{event['kind']}/{key}".encode()
        self._intake.advance(piece)
        raw = msgspec.json.encode({"ts": ts, "source": SOURCE, **present(**event)})
        self._intake.take(raw, event_id=self._intake.id(), raw=raw, place=place, ts=ts)

    def _land_turn(self, answer: _Answer) -> None:
        tokens = answer.usage
        cache_read, cache_write = tokens["cache_read_input_tokens"], tokens["cache_creation_input_tokens"]
        input_tokens = tokens["input_tokens"] + cache_read + cache_write
        project = self._projects.get(answer.session_id)
        provider = provider_of(answer.model)
        took = (answer.last_ts - (answer.asked_at or answer.ts)).total_seconds() * 1000
        extra = answer.common | {
            name: tokens[key]
            for name, key in (("cache_write_1h_tokens", "1h"), ("web_search_requests", "web_search_requests"))
            if tokens[key]
        }
        self._take(
            answer.key,
            answer.ts,
            answer.place,
            kind="turn",
            session_id=answer.session_id,
            turn_index=answer.turn_index,
            agent_id=answer.agent_id,
            provider=provider,
            model=answer.model,
            user_message=answer.user_message,
            response="\n\n".join(answer.texts) or None,
            finish_reason=answer.stop_reason,
            project_id=project,
            input_tokens=input_tokens,
            output_tokens=tokens["output_tokens"],
            cache_read_tokens=cache_read,
            cache_write_tokens=cache_write,
            charged_usd=answer.charged_usd,
            duration_ms=max(took, 0.0) if answer.duration_ms is None else answer.duration_ms,
            extra=extra,
        )
        history = self._history
        history.sessions.add(answer.session_id)
        if answer.chain:
            history.agents.add((answer.session_id, answer.chain))
        history.turns += 1
        history.prompts += answer.user_message is not None and not answer.chain
        history.projects[project or "unknown"] += 1
        use = history.models.setdefault((provider, answer.model, answer.ts.date().isoformat()), ModelUse())
        use.turns += 1
        use.input_tokens += input_tokens
        use.output_tokens += tokens["output_tokens"]
        use.cache_read_tokens += cache_read
        use.cache_write_tokens += cache_write
        if answer.charged_usd is None:
            priced = (input_tokens, tokens["output_tokens"], cache_read, cache_write, min(tokens["1h"], cache_write))
            use.uncharged.append(Tokens(*priced))
        else:
            use.charged_usd += answer.charged_usd

    def _land_call(self, answer: _Answer, index: int, call: Call) -> None:
        result = call.result or Result(False, "no result: the session ended before the tool did", 0.0, None, "")
        shared = {"session_id": answer.session_id, "turn_index": answer.turn_index, "call_index": index}
        key = f"{answer.key}/{call.id}"
        self._take(
            key,
            call.ts,
            answer.place,
            kind="tool_call",
            **shared,
            tool_name=call.name,
            tool_call_id=call.id,
            args=call.args,
            ok=result.ok,
            error=None if result.ok else result.text[:ARG_CHARS],
            output=result.text if result.ok else "",
            duration_ms=result.duration_ms,
            project_id=self._projects.get(answer.session_id),
        )
        use = self._history.tools.setdefault(call.name, ToolUse())
        use.calls += 1
        use.failures += not result.ok
        if result.ok and result.patch is not None and result.path:
            self._history.edited[result.path] += 1
            ts = call.ts + timedelta(milliseconds=result.duration_ms)
            self._take(
                key,
                ts,
                answer.place,
                kind="patch",
                **shared,
                path=result.path,
                patch=result.patch,
                tool_name=call.name,
            )

    def _land_happening(self, happening: _Happening) -> None:
        answer = happening.answer
        self._history.events[happening.event_type] += 1
        self._take(
            happening.key,
            happening.ts,
            happening.place,
            kind="session_event",
            session_id=happening.session_id,
            turn_index=answer.turn_index if answer else None,
            event_type=happening.event_type,
            content=happening.content,
            detail=happening.detail,
        )
