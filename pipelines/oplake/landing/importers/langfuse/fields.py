"""What the fields of a row say in our terms: tokens, cost, who served the model, texts. Nothing here remembers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from oplake.landing.importers.langfuse.rows import HELD_CHARS, Observation, Row, is_amount

PROVIDERS = ("ls_provider", "gen_ai.provider.name", "gen_ai.system", "provider")
"""Keys of an observation's metadata that say who served the model; else its name may."""

_FAMILIES = (
    (re.compile(r"^(gpt|o\d|chatgpt|text-embedding|davinci)"), "openai"),
    (re.compile(r"^claude"), "anthropic"),
    (re.compile(r"^(gemini|gemma)"), "google"),
    (re.compile(r"^(mistral|mixtral|codestral|ministral)"), "mistral"),
    (re.compile(r"^deepseek"), "deepseek"),
)


def tokens_of(row: Row) -> dict[str, int]:
    """The tokens of a turn; none where they are not counted in tokens.

    Types of usage do not overlap, unless input and output alone make the total: then the others are parts of them.
    """
    details = row.get("usageDetails")
    usage = row.get("usage")
    if not isinstance(details, dict) or not details:
        details = usage if isinstance(usage, dict) else {}
        if details.get("unit") not in (None, "TOKENS"):
            return {}
    counts = {name.lower(): int(count) for name, count in details.items() if is_amount(count)}
    if not counts:
        names = {"promptTokens": "input", "completionTokens": "output"}
        counts = {ours: int(row[name]) for name, ours in names.items() if is_amount(row.get(name))}
    total = counts.pop("total", None)
    of_input = {name: count for name, count in counts.items() if "input" in name or "prompt" in name}
    of_output = {name: count for name, count in counts.items() if "output" in name or "completion" in name}
    found = {
        "input_tokens": sum(of_input.values()),
        "output_tokens": sum(of_output.values()),
        "cache_read_tokens": sum(n for name, n in of_input.items() if "cached" in name or "cache_read" in name),
        "cache_write_tokens": sum(
            n for name, n in of_input.items() if "cache_creation" in name or "cache_write" in name
        ),
        "reasoning_tokens": sum(count for name, count in of_output.items() if "reasoning" in name),
    }
    plain = (counts.get("input"), counts.get("output"))
    if total is not None and None not in plain and sum(filter(None, plain)) == total:
        found |= {"input_tokens": plain[0] or 0, "output_tokens": plain[1] or 0}
    return found


def cost_of(row: Row) -> float | None:
    """What it cost, in US dollars; None where that is not known."""
    details = row.get("costDetails")
    if isinstance(details, dict) and details:
        amounts = {name: float(cost) for name, cost in details.items() if is_amount(cost)}
        return amounts.get("total", sum(amounts.values())) if amounts else None
    for name in ("calculatedTotalCost", "totalCost", "totalPrice"):
        if is_amount(row.get(name)) and row[name]:
            return float(row[name])
    return None


def provider_of(row: Row, model: str) -> str:
    """Who served the model: as the row says, else by the model's name."""
    metadata = row.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    attributes = metadata.get("attributes")
    for source in (metadata, attributes if isinstance(attributes, dict) else {}):
        said = next((source[name] for name in PROVIDERS if isinstance(source.get(name), str) and source[name]), None)
        if said:
            return str(said)
    plain = model.rpartition("/")[2]
    if plain != model:
        return model.partition("/")[0]
    return next((provider for family, provider in _FAMILIES if family.match(plain.lower())), "unknown")


def asked(given: Any) -> str | None:
    """What the user said last, of a prompt in any of the forms in which it is sent."""
    if isinstance(given, dict):
        given = next((given[name] for name in ("messages", "contents", "prompt", "input") if name in given), given)
    if isinstance(given, list):
        said = [each for each in given if isinstance(each, dict) and each.get("role") in ("user", "human")]
        given = _parts(said[-1]) if said else given
    return shown(given)[:HELD_CHARS] or None


def answered(given: Any) -> str | None:
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if isinstance(given, dict) and ("content" in given or "parts" in given):
        given = _parts(given) or given
    return shown(given)[:HELD_CHARS] or None


def _parts(message: Mapping[str, Any]) -> str:
    content = message.get("content", message.get("parts"))
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, dict) else part for part in content]
        return "\n\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else shown(content)


def names_of(row: Row) -> Row:
    """What a row is called there, and the prompt that it was made with."""
    return {"observation_id": row["id"], "trace_id": row["traceId"]} | present(
        prompt_name=row.get("promptName"), prompt_version=row.get("promptVersion"), environment=row.get("environment")
    )


def name_of(each: Observation) -> str:
    return str(each.row.get("name") or each.kind.lower())


def error_of(each: Observation) -> str:
    return str(each.row.get("statusMessage") or shown(each.row.get("output")) or "failed")


def milliseconds(each: Observation) -> float:
    return (each.ended - each.began).total_seconds() * 1000


def as_object(value: Any, name: str) -> Row:
    return value if isinstance(value, dict) else {} if value in (None, "") else {name: value}


def shown(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def present(**values: Any) -> Row:
    return {key: value for key, value in values.items() if value is not None}
