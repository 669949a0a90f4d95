"""Importing transcripts of Claude Code, from small ones written by hand in its format."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from rich.console import Console
from tests.importing import bodies, landed, of
from tests.landed_events import rows, take_in

from oplake.cli.claude_code import estimate, show
from oplake.landing.importers import Imported, NotImportable
from oplake.landing.importers.claude_code import import_claude_code
from oplake.landing.importers.claude_code.history import History, ModelUse, Tokens
from oplake.landing.writer import SegmentWriter
from oplake.settings import Settings

BEGAN = datetime(2026, 2, 3, 9, tzinfo=UTC)
TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
SESSION = "5e551013-0000-4000-8000-000000000001"
OTHER = "5e551013-0000-4000-8000-000000000002"
MODEL = "claude-sonnet-4-5-20250929"
USAGE = {
    "input_tokens": 4,
    "cache_creation_input_tokens": 1_000,
    "cache_read_input_tokens": 20_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
    "output_tokens": 300,
    "service_tier": "standard",
}

Line = dict[str, Any]


class Transcript:
    """Writes lines as Claude Code does, a second apart, each after the one before."""

    def __init__(self, session: str = SESSION, prefix: str = "", **common: Any) -> None:
        self.lines: list[Line] = []
        self.seconds = 0
        self._prefix = prefix
        self._common = {
            "sessionId": session,
            "isSidechain": False,
            "userType": "external",
            "cwd": "/home/me/api",
            "version": "2.1.40",
            "gitBranch": "main",
        } | common

    def line(self, kind: str, **fields: Any) -> Line:
        number = len(self.lines)
        made = {
            "parentUuid": self.lines[-1].get("uuid") if self.lines else None,
            **self._common,
            "type": kind,
            "uuid": f"{self._prefix}{self._common['sessionId'][-2:]}-{number}",
            "timestamp": (BEGAN + timedelta(seconds=self.seconds)).isoformat(timespec="milliseconds")[:-6] + "Z",
        } | fields
        self.seconds += 1
        self.lines.append(made)
        return made

    def asks(self, text: Any, **fields: Any) -> Line:
        return self.line("user", message={"role": "user", "content": text}, **fields)

    def answers(self, id_: str, *blocks: Line, usage: Any = USAGE, stop: str | None = None, **fields: Any) -> Line:
        """One line of an answer."""
        message = {"id": id_, "type": "message", "role": "assistant", "model": MODEL, "content": list(blocks)}
        message |= {"stop_reason": stop, "stop_sequence": None, "usage": usage}
        return self.line("assistant", **{"message": message, "requestId": f"req_{id_}"} | fields)

    def result(self, id_: str, content: Any = "done", *, is_error: bool | None = None, detail: Any = None) -> Line:
        block = {"tool_use_id": id_, "type": "tool_result", "content": content}
        if is_error is not None:
            block["is_error"] = is_error
        return self.asks([block], **({} if detail is None else {"toolUseResult": detail}))

    def system(self, subtype: str, **fields: Any) -> Line:
        return self.line("system", subtype=subtype, **fields)

    def text(self) -> bytes:
        return b"".join(json.dumps(line).encode() + b"\n" for line in self.lines)


def says(text: str) -> Line:
    return {"type": "text", "text": text}


def uses(id_: str, name: str, **args: Any) -> Line:
    return {"type": "tool_use", "id": id_, "name": name, "input": args}


THINKS = {"type": "thinking", "thinking": "hm", "signature": "x"}
PATCH = {"oldStart": 3, "oldLines": 1, "newStart": 3, "newLines": 1, "lines": ["-a = 1", "+a = 2"]}


def worked_example() -> Transcript:
    """A prompt, an answer of three blocks with two calls, and a last answer."""
    made = Transcript()
    made.line("summary", summary="Fix the sum", leafUuid="x")
    made.asks("Fix the sum, please")
    made.answers("msg_1", THINKS, usage={**USAGE, "output_tokens": 2})
    made.answers("msg_1", says("I look."), usage={**USAGE, "output_tokens": 2})
    made.answers(
        "msg_1", uses("toolu_1", "Edit", file_path="/home/me/api/a.py", old_string="a = 1", new_string="a = 2")
    )
    made.result("toolu_1", detail={"filePath": "/home/me/api/a.py", "structuredPatch": [PATCH], "userModified": False})
    made.answers("msg_1", uses("toolu_2", "Bash", command="pytest"), stop="tool_use")
    made.seconds += 10
    made.result("toolu_2", "<tool_use_error>1 failed</tool_use_error>", is_error=True, detail="Error: 1 failed")
    made.answers("msg_2", says("It fails."), stop="end_turn")
    made.system("turn_duration", durationMs=19_000)
    return made


Import = Callable[..., tuple[Imported, History, list[dict[str, Any]]]]


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    folder = tmp_path / "claude" / "projects"
    (folder / "-home-me-api").mkdir(parents=True)
    return folder


@pytest.fixture
def put(projects: Path) -> Callable[..., Path]:
    """Put a transcript where Claude Code does."""

    def do(transcript: Transcript | bytes, name: str = SESSION, *, folder: str = "-home-me-api") -> Path:
        path = projects / folder / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(transcript if isinstance(transcript, bytes) else transcript.text())
        return path

    return do


@pytest.fixture
def imported(projects: Path, tmp_path: Path) -> Import:
    """Import all transcripts; returns the counts, the history and what landed."""

    def do(folder: Path = projects.parent, *, now: datetime = TODAY) -> tuple[Imported, History, list[dict[str, Any]]]:
        already = len(landed(tmp_path / "landing"))
        writer = SegmentWriter(tmp_path / "landing")
        try:
            done, history = import_claude_code(folder, writer, received_at=now)
        finally:
            writer.close()
        return done, history, landed(tmp_path / "landing")[already:]

    return do


def test_an_answer_is_a_turn_and_its_usage_counts_once(put: Callable[..., Path], imported: Import) -> None:
    put(worked_example())
    done, history, events = imported()
    assert done.by_kind == {"patch": 1, "tool_call": 2, "turn": 2}
    first, second = of(events, "turn")
    assert first["ts"] == "2026-02-03T09:00:02Z"
    assert {key: value for key, value in first.items() if key not in {"kind", "event_id", "ts", "received_at"}} == {
        "source": "claude-code",
        "session_id": SESSION,
        "turn_index": 0,
        "agent_id": "claude-code",
        "provider": "anthropic",
        "model": MODEL,
        "user_message": "Fix the sum, please",
        "response": "I look.",
        "finish_reason": "tool_use",
        "project_id": "/home/me/api",
        "input_tokens": 21_004,
        "output_tokens": 300,  # of the last line: those before were written while it was still answering
        "cache_read_tokens": 20_000,
        "cache_write_tokens": 1_000,
        "duration_ms": 5_000.0,
        "extra": {"version": "2.1.40", "git_branch": "main", "cache_write_1h_tokens": 400},
    }
    assert (second["turn_index"], second["response"], second["finish_reason"]) == (1, "It fails.", "end_turn")
    assert "user_message" not in second
    assert second["duration_ms"] == 1_000.0
    assert (history.turns, history.prompts, history.sessions) == (2, 1, {SESSION})


def test_calls_have_their_results_and_edits_are_patches(put: Callable[..., Path], imported: Import) -> None:
    put(worked_example())
    _, history, events = imported()
    edit, bash = of(events, "tool_call")
    assert (edit["turn_index"], edit["call_index"], edit["tool_name"], edit["tool_call_id"]) == (
        0,
        0,
        "Edit",
        "toolu_1",
    )
    assert (edit["ok"], edit["output"], edit["duration_ms"]) == (True, "done", 1_000.0)
    assert (bash["call_index"], bash["ok"], bash["error"], bash["duration_ms"]) == (1, False, "1 failed", 11_000.0)
    assert bash["args"] == {"command": "pytest"}
    [patch] = of(events, "patch")
    assert (patch["path"], patch["patch"]) == ("/home/me/api/a.py", "@@ -3,1 +3,1 @@\n-a = 1\n+a = 2")
    assert (patch["turn_index"], patch["call_index"], patch["tool_name"]) == (0, 0, "Edit")
    assert (history.tools["Bash"].failures, history.tools["Edit"].failures) == (1, 0)


@pytest.mark.parametrize(
    ("name", "args", "patch"),
    [
        ("Write", {"file_path": "/a", "content": "x\ny"}, "+x\n+y"),
        ("Edit", {"file_path": "/a", "old_string": "x", "new_string": ""}, "-x"),
        (
            "MultiEdit",
            {
                "file_path": "/a",
                "edits": [{"old_string": "x", "new_string": "y"}, {"old_string": "", "new_string": "z"}],
            },
            "-x\n+y\n+z",
        ),
        ("NotebookEdit", {"notebook_path": "/a", "new_source": "x"}, "+x"),
    ],
)
def test_a_change_without_a_diff_is_taken_from_the_call(
    put: Callable[..., Path], imported: Import, name: str, args: dict[str, Any], patch: str
) -> None:
    made = Transcript()
    made.answers("msg_1", uses("toolu_1", name, **args), uses("toolu_2", name, **args), stop="tool_use")
    made.result("toolu_1", detail={"type": "create", "structuredPatch": []})
    made.result("toolu_2", "denied", is_error=True)
    put(made)
    [found] = of(imported()[2], "patch")
    assert (found["path"], found["patch"]) == ("/a", patch)


def test_importing_again_adds_nothing(put: Callable[..., Path], imported: Import) -> None:
    put(worked_example().text() + b"{broken\n")
    _, _, first = imported()
    _, _, second = imported(now=TODAY + timedelta(days=40))
    assert bodies(first) == bodies(second)
    assert len({event["event_id"] for event in first}) == len(first) == 6


def test_a_resumed_session_repeats_lines_that_count_once(put: Callable[..., Path], imported: Import) -> None:
    """A copy has the lines of the old session under the new session's id, or under the old one; both occur."""
    old = worked_example()
    put(old)
    for name, is_rewritten in ((OTHER, True), (OTHER[:-1] + "3", False)):
        made = Transcript(name, prefix="new-")
        made.seconds = 3_600
        made.lines = [
            {**line, "sessionId": name} if is_rewritten and "sessionId" in line else line for line in old.lines
        ]
        made.asks("Go on")
        made.answers(f"msg_{name}", says("Gone on."), stop="end_turn")
        put(made, name)
    _, history, events = imported()
    turns = of(events, "turn")
    assert [(turn["session_id"], turn["turn_index"]) for turn in turns] == [
        (SESSION, 0),
        (SESSION, 1),
        (OTHER, 0),
        (OTHER[:-1] + "3", 0),
    ]
    assert turns[2]["user_message"] == "Go on"
    assert (history.repeated, len(of(events, "tool_call"))) == (18, 2)
    assert sum(use.output_tokens for use in history.models.values()) == 1_200


def test_a_copy_with_lines_of_new_ids_still_counts_an_answer_once(put: Callable[..., Path], imported: Import) -> None:
    made = Transcript()
    made.answers("msg_1", says("Hello"), uses("toolu_1", "Bash"))
    made.answers("msg_1", says("Hello, you"), uses("toolu_1", "Bash"), stop="tool_use")
    put(made)
    again = Transcript(OTHER)
    again.seconds = 60
    again.answers("msg_1", says("Hello"), uses("toolu_1", "Bash"))
    put(again, OTHER)
    _, _, events = imported()
    [turn] = of(events, "turn")
    assert (turn["response"], turn["output_tokens"]) == ("Hello, you", 300)
    assert len(of(events, "tool_call")) == 1


def test_lines_without_ids_of_requests_are_one_answer_by_the_message(
    put: Callable[..., Path], imported: Import
) -> None:
    made = Transcript()
    for text in ("a", "b"):
        made.answers("chatcmpl-1", says(text), requestId=None)
    put(made)
    [turn] = of(imported()[2], "turn")
    assert (turn["response"], turn["output_tokens"]) == ("a\n\nb", 300)


PARTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 900)), min_size=1, max_size=12)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(st.lists(PARTS, min_size=1, max_size=3))
def test_however_answers_are_spread_over_lines_and_files_they_count_once(sessions: list[Any]) -> None:
    """Against the slowest way to say it: of each answer the line with most, wherever it stands first."""
    expected: dict[str, tuple[str, int]] = {}
    with TemporaryDirectory() as folder:
        lines: list[Line] = []
        for number, parts in enumerate(sessions):
            name = f"{SESSION[:-1]}{number}"
            made = Transcript(name, prefix=f"{number}-")
            made.lines = list(lines)  # resumed: it begins with a copy of all before
            made.seconds = 100 * number
            first = {id_: answer[0] for id_, answer in expected.items()}
            for answer, output_tokens in parts:
                id_ = f"msg_{answer}"
                made.answers(id_, usage={"input_tokens": 1, "output_tokens": output_tokens}, stop="end_turn")
                if first.get(id_, name) == name:  # else an earlier session has it already
                    known = expected.get(id_, (name, 0))
                    expected[id_] = (name, max(known[1], output_tokens))
            lines = made.lines
            (Path(folder) / f"{name}.jsonl").write_bytes(made.text())
        writer = SegmentWriter(Path(folder) / "landing")
        import_claude_code(Path(folder), writer, received_at=TODAY)
        writer.close()
        turns = of(landed(Path(folder) / "landing"), "turn")
        found = sorted((turn["session_id"], turn.get("output_tokens", 0)) for turn in turns)
        assert found == sorted(expected.values())


def sub_agent(kind: str) -> tuple[Transcript, Transcript]:
    """A session that asks a sub-agent, and what that does."""
    main = Transcript()
    main.asks("Explore")
    main.answers(
        "msg_1",
        uses("toolu_1", kind, description="Look around", prompt="Look around here", subagent_type="Explore"),
        stop="tool_use",
    )
    agent = Transcript(prefix="agent-", isSidechain=True)
    agent.seconds = 2
    agent.asks("Look around here")
    agent.answers("msg_a1", uses("toolu_a1", "Grep", pattern="x"), stop="tool_use")
    agent.result("toolu_a1")
    agent.answers("msg_a2", says("Nothing."), stop="end_turn")
    main.seconds = 10
    main.result("toolu_1", [says("Nothing.")], detail={"agentId": "ab12", "totalDurationMs": 4_500, "totalTokens": 9})
    main.answers("msg_2", says("There is nothing."), stop="end_turn")
    return main, agent


@pytest.mark.parametrize("place", ["same file", "beside", "subagents"])
def test_sub_agents_belong_to_their_session(put: Callable[..., Path], imported: Import, place: str) -> None:
    main, agent = sub_agent("Task" if place == "same file" else "Agent")
    if place == "same file":
        main.lines[2:2] = agent.lines
    else:
        for line in agent.lines:
            line["agentId"] = "ab12"
        put(agent, "agent-ab12" if place == "beside" else f"{SESSION}/subagents/agent-ab12")
    put(main)
    _, history, events = imported()
    turns = of(events, "turn")
    assert {turn["session_id"] for turn in turns} == {SESSION}
    assert [(turn["turn_index"], turn["agent_id"]) for turn in turns] == [
        (0, "claude-code"),
        (1, "claude-code/Explore"),
        (2, "claude-code/Explore"),
        (3, "claude-code"),
    ]
    assert turns[1]["user_message"] == "Look around here"
    assert len(history.agents) == 1
    assert history.prompts == 1
    calls = {call["tool_name"]: call for call in of(events, "tool_call")}
    assert calls["Grep"]["turn_index"] == 1
    assert calls["Task" if place == "same file" else "Agent"]["duration_ms"] == 4_500
    [subtask] = of(events, "session_event")
    assert (subtask["event_type"], subtask["content"], subtask["turn_index"]) == ("subtask", "Look around", 0)
    assert subtask["detail"] == {"subagent_type": "Explore", "tool_call_id": "toolu_1"}


def test_sub_agents_of_workflows_lie_deeper_and_say_their_type(put: Callable[..., Path], imported: Import) -> None:
    _, agent = sub_agent("Agent")
    for line in agent.lines:
        line |= {"agentId": "ab12", "sessionId": f"{SESSION}#agent-ab12"}
    path = put(agent, f"{SESSION}/subagents/workflows/wf_1/agent-ab12")
    path.with_suffix(".meta.json").write_text('{"agentType": "sweeper", "spawnDepth": 1}')
    put(b'{"type": "started", "agentId": "ab12"}\n', f"{SESSION}/subagents/workflows/wf_1/journal")
    put(worked_example())
    _, history, events = imported()
    turns = of(events, "turn")
    assert {turn["session_id"] for turn in turns} == {SESSION}
    assert {turn["agent_id"] for turn in turns} == {"claude-code", "claude-code/sweeper"}
    assert history.not_taken["file journal.jsonl"] == 1


def test_what_happens_in_a_session_is_told(put: Callable[..., Path], imported: Import) -> None:
    made = worked_example()
    made.system(
        "compact_boundary", content="Conversation compacted", compactMetadata={"trigger": "auto", "preTokens": 9}
    )
    made.asks("This session is being continued ...", isCompactSummary=True)
    made.system("api_error", error={"status": 529}, retryAttempt=1, maxRetries=10)
    made.answers(
        "x",
        says("API Error: 529"),
        isApiErrorMessage=True,
        error="overloaded",
        message={"model": "<synthetic>", "content": [says("API Error: 529")]},
    )
    made.asks([says("[Request interrupted by user]")])
    made.system("model_refusal_fallback", content="Switched")
    made.answers("y", message={"model": "<synthetic>", "content": [says("No response requested.")]})
    put(made)
    _, history, events = imported()
    found = [
        (each["event_type"], each.get("content", ""), each.get("detail", {})) for each in of(events, "session_event")
    ]
    assert found == [
        ("compressed", "Conversation compacted", {"subtype": "compact_boundary", "trigger": "auto", "preTokens": 9}),
        ("warning", "API error", {"status": 529, "attempt": 1, "max_attempts": 10}),
        ("error", "API Error: 529", {"error": "overloaded"}),
        ("warning", "[Request interrupted by user]", {}),
        ("fallback", "Switched", {"error": "model_refusal_fallback"}),
    ]
    assert {each["turn_index"] for each in of(events, "session_event")} == {1}
    assert len(of(events, "turn")) == 2
    assert history.not_taken["assistant <synthetic>"] == 1


def test_what_the_user_said_is_on_the_turn_that_answers_it(put: Callable[..., Path], imported: Import) -> None:
    made = Transcript()
    made.asks("Caveat: ...", isMeta=True)
    made.asks(
        "<command-name>/review</command-name>\n<command-message>review</command-message>\n<command-args>12</command-args>"
    )
    made.asks("<local-command-stdout>lots</local-command-stdout>")
    made.asks([says("and be quick"), {"type": "image", "source": {}}])
    made.answers("msg_1", says("Yes."), stop="end_turn")
    made.line("attachment", attachment={"type": "queued_command", "prompt": "quicker", "commandMode": "prompt"})
    made.line("attachment", attachment={"type": "file", "filename": "a"})
    made.answers("msg_2", says("Yes!"), stop="end_turn")
    made.asks("Are you there?")
    put(made)
    _, history, events = imported()
    assert [turn["user_message"] for turn in of(events, "turn")] == ["/review 12\n\nand be quick", "quicker"]
    assert history.not_taken["user (never answered)"] == 1


def test_lines_of_other_types_are_counted_by_name(put: Callable[..., Path], imported: Import) -> None:
    made = worked_example()
    for kind in ("progress", "progress", "file-history-snapshot", "hologram", "hologram"):
        made.line(kind)
    del made.line("x")["type"]
    put(made)
    _, history, _ = imported()
    assert history.not_taken == {"summary": 1, "progress": 2, "file-history-snapshot": 1, "system turn_duration": 1}
    assert history.unknown == {"hologram": 2, "None": 1}


BAD = [
    (b'{"type":"user","uuid":"u', "not JSON"),
    (b"\xff\xfe\x00", "not JSON"),
    (b"[1,2]", "it is no object"),
    (b'{"type":"user","uuid":"u1","message":{"content":"x"}}', "timestamp"),
    (b'{"type":"user","uuid":"u2","timestamp":"2026-02-03T09:00:00Z"}', "message"),
    (b'{"type":"assistant","uuid":"u3","timestamp":"2026-02-03T09:00:00Z","message":[]}', "message"),
    (
        b'{"type":"assistant","uuid":"u4","timestamp":"2026-02-03T09:00:00Z","message":{"id":"m","usage":{"input_tokens":-1}}}',
        "count",
    ),
    (
        b'{"type":"assistant","uuid":"u5","timestamp":"2026-02-03T09:00:00Z","message":{"id":"m","usage":{"output_tokens":"9"}}}',
        "count",
    ),
    (b'{"a":' * 501 + b"1" + b"}" * 501, "500 deep"),  # of which every Python could say more
    (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, ""),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ""),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_a_bad_line_is_a_reject_and_stops_nothing(
    put: Callable[..., Path], imported: Import, bad: bytes, reason: str
) -> None:
    text = worked_example().text()
    put(text[: text.index(b"\n") + 1] + bad + b"\n" + text[text.index(b"\n") + 1 :])
    done, history, events = imported()
    assert (history.turns, done.rejected) == (2, 1)
    [reject] = of(events, "reject")
    assert reason in reject["reason"]
    assert (reject["origin"], reject["line"], reject["raw_bytes"]) == (f"claude-code:{SESSION}.jsonl", 2, len(bad))


def test_a_line_as_deep_as_is_allowed_is_read_in_every_python(put: Callable[..., Path], imported: Import) -> None:
    put(worked_example().text() + b'{"a":' * 500 + b"1" + b"}" * 500 + b"\n")
    done, history, _ = imported()
    assert (done.rejected, history.unknown) == (0, {"None": 1})


def test_half_of_a_character_is_read_as_it_was_meant(put: Callable[..., Path], imported: Import) -> None:
    """JavaScript cuts strings within characters, and writes lone surrogates; the line is whole otherwise."""
    made = Transcript()
    made.answers("msg_1", says("cut \ud83d"), stop="end_turn")
    put(made)
    done, _, events = imported()
    assert (done.rejected, of(events, "turn")[0]["response"]) == (0, "cut ?")


def test_a_session_that_is_being_written_is_taken_as_far_as_it_is_whole(
    put: Callable[..., Path], imported: Import
) -> None:
    text = worked_example().text()
    now = BEGAN + timedelta(minutes=5)
    seen: list[dict[str, Any]] = []
    for end in (*range(97, len(text), 97), len(text)):
        put(text[:end])
        seen += imported(now=now)[2]
    assert not of(seen, "reject")
    by_id: dict[str, list[dict[str, Any]]] = {}
    for event in bodies(seen):
        by_id.setdefault(event["event_id"], []).append(event)
    finals = imported()[2]
    assert set(by_id) == {event["event_id"] for event in finals}
    assert all(event == versions[0] for versions in by_id.values() for event in versions)


def test_a_cut_last_line_of_a_session_at_rest_is_a_reject(put: Callable[..., Path], imported: Import) -> None:
    put(worked_example().text() + b'{"type":"assistant","mess')
    done, history, _ = imported()
    assert (done.rejected, history.unfinished) == (1, 0)
    done, history, _ = imported(now=BEGAN + timedelta(minutes=5))
    assert (done.rejected, history.unfinished) == (0, 1)


def test_a_call_without_a_result_failed_once_the_session_is_at_rest(put: Callable[..., Path], imported: Import) -> None:
    made = Transcript()
    made.answers("msg_1", uses("toolu_1", "Bash", command="sleep 9"), stop="tool_use")
    put(made)
    _, history, events = imported(now=BEGAN + timedelta(minutes=5))
    assert (len(of(events, "turn")), of(events, "tool_call"), history.unfinished) == (1, [], 1)
    [call] = of(imported()[2], "tool_call")
    assert (call["ok"], call["error"]) == (False, "no result: the session ended before the tool did")


def test_a_grown_session_keeps_what_landed_before(put: Callable[..., Path], imported: Import, tmp_path: Path) -> None:
    """Ids and numbers of turns must not move when more lines, sub-agents and sessions come."""
    main, agent = sub_agent("Agent")
    for line in agent.lines:
        line["agentId"] = "ab12"
    early, early_agent = Transcript(), Transcript()
    early.lines, early_agent.lines = main.lines[:2], agent.lines[:3]
    put(early)
    put(early_agent, f"{SESSION}/subagents/agent-ab12")
    imported(now=BEGAN + timedelta(seconds=5))
    put(main)
    put(agent, f"{SESSION}/subagents/agent-ab12")
    put(
        worked_example()
        .text()
        .replace(SESSION.encode(), OTHER.encode())
        .replace(b'"01-', b'"02-')
        .replace(b"msg_", b"m_"),
        OTHER,
    )
    imported()
    settings = Settings(home=tmp_path / "home")
    settings.home.mkdir()
    (tmp_path / "landing").rename(settings.landing)
    take_in(settings, now=TODAY)
    assert rows(settings, "landed.rejects") == []
    assert len(rows(settings, "landed.turns")) == 6


def test_old_lines_say_what_was_charged_and_how_long_it_took(put: Callable[..., Path], imported: Import) -> None:
    """Forbids calling every sum one of list prices: what was charged is part of some."""
    made = Transcript()
    made.answers("msg_1", says("Hi"), costUSD=0.0125, durationMs=1_234)
    put(made)
    done, history, events = imported()
    [turn] = of(events, "turn")
    assert (turn["charged_usd"], turn["duration_ms"]) == (0.0125, 1_234)
    cost = estimate(history.models)
    assert cost.usd == Decimal("0.0125")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(show(history, done, cost))
    assert "$0.01 as charged, else at list prices" in console.export_text()


def test_secrets_do_not_land(put: Callable[..., Path], imported: Import) -> None:
    made = Transcript()
    key = "sk-ant-api03-" + "a1B2" * 20
    made.asks(f"My key is {key}")
    made.answers("msg_1", says(key), uses("toolu_1", "Bash", command=f"export K={key}"), stop="tool_use")
    made.result("toolu_1", f"it is {key}")
    put(made)
    assert key not in json.dumps(imported()[2])


@pytest.mark.parametrize("depth", ["claude", "projects", "project", "file"])
def test_any_folder_of_claude_code_will_do(put: Callable[..., Path], imported: Import, depth: str) -> None:
    path = put(worked_example())
    put(b'{"display": "no transcript"}\n', "history", folder="../..")  # of all prompts, beside projects
    folder = {"file": path, "project": path.parent, "projects": path.parents[1], "claude": path.parents[2]}[depth]
    assert imported(folder)[1].turns == 2


def test_progress_is_told_after_each_session(put: Callable[..., Path], projects: Path, tmp_path: Path) -> None:
    """Most sessions are short: to tell of long ones alone would leave the bar where it is."""
    sizes = [put(worked_example(), f"{SESSION[:-1]}{number}").stat().st_size for number in range(3)]
    told: list[tuple[int, int]] = []
    writer = SegmentWriter(tmp_path / "landing")
    import_claude_code(projects, writer, received_at=TODAY, progress=lambda *at: told.append(at))
    writer.close()
    assert told == [(sum(sizes[: number + 1]), sum(sizes)) for number in range(3)]


def test_a_folder_without_transcripts_is_told(imported: Import, tmp_path: Path) -> None:
    with pytest.raises(NotImportable, match="no transcript can be read"):
        imported()
    with pytest.raises(NotImportable, match="there is no such folder"):
        imported(tmp_path / "nowhere")


def test_a_file_that_cannot_be_read_stops_no_other(put: Callable[..., Path], imported: Import) -> None:
    put(worked_example())
    put(b"", OTHER).chmod(0)
    _, history, _ = imported()
    assert history.turns == 2


def test_a_model_without_a_price_is_unpriced_never_0() -> None:
    use = ModelUse(turns=2, uncharged=[Tokens(1_000_000, 0, 0, 0, 0), Tokens(0, 1_000_000, 0, 0, 0)])
    cost = estimate(
        {
            ("anthropic", "claude-opus-4-1-20250805", "2026-02-03"): use,
            ("unknown", "house-model", "2026-02-03"): use,
        }
    )
    assert cost.by_model == {("anthropic", "claude-opus-4-1-20250805"): Decimal(90)}
    assert cost.unpriced == {"house-model": 2}


def test_what_the_cache_keeps_for_an_hour_costs_more() -> None:
    """Forbids pricing all that is written to the cache alike: of a long session that is most of what it costs."""
    kept = Tokens(input=1_000_000, output=0, cache_read=0, cache_write=1_000_000, cache_write_1h=400_000)
    cost = estimate({("anthropic", "claude-opus-4-5-20251101", "2026-02-03"): ModelUse(turns=1, uncharged=[kept])})
    assert cost.usd == Decimal("0.6") * Decimal("6.25") + Decimal("0.4") * 10


def test_the_summary_says_it_all_in_80_columns(put: Callable[..., Path], imported: Import) -> None:
    made = worked_example()
    made.line("hologram")
    made.answers(
        "msg_3", says("Hi"), stop="end_turn", message={"id": "m", "model": "house-model", "content": [], "usage": USAGE}
    )
    put(made.text() + b"{broken\n")
    done, history, _ = imported()
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(show(history, done, estimate(history.models)))
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= 80
    for part in (
        "1 session, 2026-02-03 to 2026-02-03",
        "3, of them 1 answer you",
        "63.0 k read, 95% of them from the cache; 900 written",
        "2 calls, 50% failed",
        "1 patch to 1 file",
        "unpriced",
        "/home/me/api/a.py",
        "hologram 1",
        "not JSON",
        "Without a price: house-model 1",
    ):
        assert part in shown, shown
