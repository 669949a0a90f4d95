"""What the receiver makes of bodies, without HTTP: defaults of operations, batches taken apart, packed bodies."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.landed_events import NOON
from tests.landed_events import event as accepted_line

from oplake.landing.errors import Unusable
from oplake.receiver.app import is_loopback
from oplake.receiver.batches import take_apart
from oplake.receiver.body import unpack
from oplake.receiver.counts import SOURCES, Counts
from oplake.receiver.errors import Refused
from oplake.receiver.limits import Held, Limits
from oplake.receiver.operations import operation

SMALL = Limits(body_bytes=100_000, batch_events=50, separators=500)


def unpacked(body: bytes, encoding: str, limits: Limits = SMALL, held: int = 2**30) -> bytes:
    with Held(held).holding() as holding:
        return unpack(body, encoding, limits, holding)


# -- Operations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {},
            {
                "endpoint": "scenario:fill",
                "source": "scenario",
                "success": False,
                "duration_ms": 0,
                "input_summary": "? ?×? in ?, ?",
                "output_summary": "failed",
                "rescue_attempted": False,
                "rescue_succeeded": False,
            },
        ),
        (
            {"event_kind": "wedding", "role": "cook", "count": 2, "city": "Austin", "state": "TX", "success": True},
            {"input_summary": "wedding cook×2 in Austin, TX", "output_summary": "filled", "success": True},
        ),
        ({"role": "cook", "count": 0, "city": "", "state": None}, {"input_summary": "? cook×0 in ?, ?"}),
        ({"success": 1}, {"success": True, "output_summary": "filled"}),
        ({"success": "yes"}, {"success": True}),
        ({"success": ""}, {"success": False}),
        ({"success": 0, "error": "nobody is free"}, {"success": False, "output_summary": "nobody is free"}),
        ({"success": True, "error": "late"}, {"output_summary": "filled", "error": "late"}),
        ({"success": None, "duration_ms": None, "endpoint": None}, {"success": False, "duration_ms": 0}),
        ({"duration_ms": "12.5"}, {"duration_ms": 12.5}),
        ({"source": "langfuse", "endpoint": "shop.buy"}, {"source": "langfuse", "endpoint": "shop.buy"}),
        ({"input_summary": "mine", "output_summary": "own"}, {"input_summary": "mine", "output_summary": "own"}),
        ({"rescue_attempted": True}, {"rescue_attempted": True, "rescue_succeeded": False}),
        ({"staffer_id": 17, "count": 2.0}, {"staffer_id": "17", "count": 2, "input_summary": "? ?×2 in ?, ?"}),
        ({"timestamp": "2026-01-05T12:00:00Z"}, {"ts": "2026-01-05T12:00:00Z"}),
        ({"kind": "op", "mood": 3}, {"kind": "op", "mood": 3}),
    ],
)
def test_what_an_operation_does_not_say_is_filled_in(given: dict[str, Any], expected: dict[str, Any]) -> None:
    made = operation(given)
    assert {name: made.get(name) for name in expected} == expected
    assert made["kind"] == "op"
    assert "timestamp" not in made


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "note"},
        {"timestamp": "soon"},
        {"timestamp": "2026-01-05T12:00:00"},
        {"duration_ms": "soon"},
        {"duration_ms": ""},
        {"kind": 3},
    ],
)
def test_what_is_no_operation_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(Unusable):
        operation(given)


# -- Batches -----------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.sampled_from(['"', "\\", "[,]", "{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(values, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_an_array_falls_apart_into_its_values(items: list[Any], indent: int | None, is_ascii: bool) -> None:
    body = json.dumps(items, indent=indent, ensure_ascii=is_ascii).encode()
    assert [json.loads(raw) for raw in take_apart(body, SMALL).raws] == items


@given(st.lists(values, min_size=1, max_size=6), st.sampled_from([None, 1]))
def test_an_array_with_one_bad_value_falls_apart_as_well(items: list[Any], indent: int | None) -> None:
    """A decoder refuses it whole; one client's NaN would keep the other events of its batch out."""
    body = json.dumps([*items, float("nan"), *items], indent=indent).encode()
    batch = take_apart(body, SMALL)
    assert [json.loads(raw) if raw != b"NaN" else None for raw in batch.raws] == [*items, None, *items]
    assert [body[begin : begin + len(raw)] for begin, raw in zip(batch.offsets, batch.raws, strict=True)] == batch.raws


@given(st.lists(values, max_size=6), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
def test_lines_fall_apart_with_their_numbers_and_places(items: list[Any], end: str, is_said: bool) -> None:
    body = "".join(json.dumps({"v": item}) + end for item in items).encode()
    batch = take_apart(body, SMALL, has_lines=is_said)
    assert [json.loads(raw)["v"] for raw in batch.raws] == items
    step = end.count("\n")
    assert [*batch.lines] == [1 + step * number for number in range(len(items))]
    assert [body[begin : begin + len(raw)] for begin, raw in zip(batch.offsets, batch.raws, strict=True)] == batch.raws


@pytest.mark.parametrize(
    ("body", "raws"),
    [
        (b"", []),
        (b" \n \n", []),
        (b"[]", []),
        (b"[", [b"["]),
        (b'{\n "a": 1\n}\n', [b'{\n "a": 1\n}']),
        (b'{"a":1}\n{"b":\n', [b'{"a":1}', b'{"b":']),
        (b'{"b":\n{"a":1}\n', [b'{"b":', b'{"a":1}']),
        (b'[1]\n{"a":1}\n', [b"[1]", b'{"a":1}']),
        (b'[{"a":1}, {"b":', [b'{"a":1}', b'{"b":']),
        (b'[{"a":1}] and more', [b'{"a":1}', b"and more"]),
        (b'[{"a":"x]}, {"b":1}]', [b'{"a":"x]}, {"b":1}]']),
        (b'\xef\xbb\xbf[{"a":1}]', [b'{"a":1}']),
        (b"\xff\xfe[\x00", [b"\xff\xfe[\x00"]),
        (b"[" + b"[" * 5000 + b"]" * 5000 + b", 1]", [b"[" * 5000 + b"]" * 5000, b"1"]),
        (b'["' + b'\\"' * 50_000, [b'"' + b'\\"' * 50_000]),
    ],
)
def test_what_is_broken_falls_apart_where_it_can(body: bytes, raws: list[bytes]) -> None:
    assert take_apart(body, Limits()).raws == raws


@pytest.mark.parametrize(
    "body", [b"\n" * 51, b"[" + b"1," * 50 + b"1]", b"[" + b"," * 501, b"[" + b"NaN," * 51 + b"1]"]
)
def test_a_batch_has_no_more_than_so_many_events(body: bytes) -> None:
    with pytest.raises(Refused, match="several batches") as refused:
        take_apart(body, SMALL)
    assert refused.value.status == 413


# -- Bodies ------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=5000), st.integers(1, 3))
def test_packed_bodies_are_unpacked_also_in_several_parts(data: bytes, parts: int) -> None:
    assert unpacked(gzip.compress(data) * parts, "GZIP") == data * parts
    assert unpacked(zstandard.compress(data) * parts, " zstd ") == data * parts
    assert unpacked(data, "") == unpacked(data, "identity") == data


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"plain", "gzip", 400),
        (b"plain", "zstd", 400),
        (gzip.compress(b"x" * 1000)[:-9], "gzip", 400),
        (gzip.compress(b"x" * 1000) + b"rest", "gzip", 400),
        (zstandard.compress(bytes(range(256)) * 9)[:-3], "zstd", 400),
        (zlib.compress(b"x"), "deflate", 415),
        (b"", "br", 415),
        (b"", "gzip, gzip", 415),
        (gzip.compress(bytes(100_001)), "gzip", 413),
        (zstandard.compress(bytes(100_001)), "zstd", 413),
        (gzip.compress(gzip.compress(bytes(2**26))), "gzip", None),  # it is unpacked once
    ],
    ids=range(11),  # gzip says when it packed, and every process of the suite has to call the cases alike
)
def test_what_cannot_be_unpacked_is_refused(body: bytes, encoding: str, status: int | None) -> None:
    if status is None:
        assert len(unpacked(body, encoding)) < 100_000
        return
    with pytest.raises(Refused) as refused:
        unpacked(body, encoding)
    assert refused.value.status == status


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_noticed_while_it_is_unpacked(encoding: str) -> None:
    """To unpack it first and measure then takes the memory that the limit is there for."""
    bomb = gzip.compress(bytes(2**28)) if encoding == "gzip" else zstandard.compress(bytes(2**30))
    with pytest.raises(Refused, match="takes more than 100000 bytes"):
        unpacked(bomb, encoding)
    with pytest.raises(Refused, match="send it again in a second") as refused:
        unpacked(bomb, encoding, Limits(body_bytes=2**30), held=40 * 2**20)
    assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})


def test_what_a_request_held_is_free_when_it_is_over() -> None:
    held = Held(10)
    with held.holding() as first:
        first.take(6)
        with held.holding() as second, pytest.raises(Refused):
            second.take(6)
        assert held.bytes == 6
    assert held.bytes == 0


# -- The rest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_only_loopback_is_loopback(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours


def test_sources_are_told_apart_up_to_a_bound() -> None:
    """A source is free text; one client that puts an id there would fill memory and the page of metrics."""
    from oplake import events

    counts = Counts(NOON)
    for number in range(SOURCES + 50):
        line = accepted_line("note", f"n{number}", user_id="u", note="x", source=f"source {number}")
        counts.add([events.decoder.decode(line)])
    totals = counts.totals()
    assert len(totals["by_source"]) == SOURCES + 1
    assert totals["by_source"]["(others)"] == 50
