"""The author that needs no model: it fills a schema from measured facts and from the most central notes.

Deterministic and offline. A field that has the name of a fact takes that fact; other texts take the notes that say
most of what the others say, too (TF-IDF and cosine, in plain Python: there are 200 short notes at most), and cite them
by their ids. Numbers, choices and truth values are never made up: they are facts, or the schema has a default.
"""

from __future__ import annotations

import math
import re
import types
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from oplake.synthesis.cites import CITE
from oplake.synthesis.errors import SynthesisError
from oplake.synthesis.figures import shortened
from oplake.synthesis.wire import FailedCall, Reply, Request, Said

NAME = "extractive"
PROVIDER = "oplake"
TEXTS = 3  # that a list of texts gets: what is central, not everything
TEXT_CHARS = 280  # of a note within a report, with its cite
NOTHING = "Nothing was noted."
_WORD = re.compile(r"\w+")


class Extractive:
    """Answers requests from their facts alone."""

    def key(self, request: Request) -> str:
        """The key of the cache: the facts count, for an answer comes of them and not of the prompt."""
        return request.hash(NAME, request.facts)

    def ask(self, request: Request, failed: FailedCall) -> Reply:
        """An object that fits the schema; or the most central texts, where none is asked for.

        Raises:
            SynthesisError: The schema wants something that no fact has and that is no text.
        """
        fields = request.schema.model_fields if request.schema else {}
        notes = notes_of({name: value for name, value in request.facts.items() if name not in fields})
        ranked = [_cite(text, notes[text]) for text in central(list(notes))]
        if request.schema is None:
            content = " ".join(ranked[:TEXTS]) or NOTHING
        else:
            filled = fill(request.schema, request.facts, ranked)
            try:
                content = request.schema.model_validate(filled).model_dump_json()
            except ValidationError as error:
                raise SynthesisError(f"the embedded author cannot fill {request.schema.__name__}: {error}") from error
        return Reply(Said(content, "stop"), PROVIDER, NAME, charged_usd=0.0)


def notes_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """The texts that others wrote, in their order, each with its id: what stands in lists, or in objects there.

    Of objects it is the `note` or `text`. Texts without an `id` have none; one that is there twice has its first.
    """
    found: dict[str, str] = {}
    for value in facts.values():
        if isinstance(value, Sequence) and not isinstance(value, str):
            for each in value:
                text, id_ = (
                    (each.get("note", each.get("text")), each.get("id")) if isinstance(each, Mapping) else (each, "")
                )
                if isinstance(text, str) and text.strip():
                    found.setdefault(" ".join(text.split()), str(id_ or ""))
    return found


def central(texts: Sequence[str]) -> list[str]:
    """Different texts, those first that are most like all others; equally central ones in their order."""
    distinct = list(dict.fromkeys(texts))
    vectors = _tf_idf(distinct)
    total: Counter[str] = Counter()
    for vector in vectors:
        total.update(vector)  # a text's likeness to all others is one product with their sum
    scores = [sum(weight * (total[word] - weight) for word, weight in vector.items()) for vector in vectors]
    order = sorted(range(len(distinct)), key=lambda index: (-round(scores[index], 12), index))
    return [distinct[index] for index in order]


def _cite(text: str, id_: str) -> str:
    """A text with its cite, cut to size.

    What somebody wrote like a cite loses its brackets: it would lead to what others said.
    """
    text = CITE.sub(r"(\1)", text)
    cite = f" [{id_}]"
    if not CITE.search(cite):
        cite = ""
    return shortened(text, TEXT_CHARS - len(cite)) + cite


def _tf_idf(texts: Sequence[str]) -> list[dict[str, float]]:
    """One vector of length 1 per text: counts of words, weighed down where many texts have them."""
    counts = [Counter(_WORD.findall(text.lower())) for text in texts]
    documents = Counter(word for count in counts for word in count)
    vectors = []
    for count in counts:
        vector = {
            word: n * (1 + math.log((1 + len(texts)) / (1 + documents[word]))) for word, n in sorted(count.items())
        }
        length = math.sqrt(sum(weight**2 for weight in vector.values())) or 1.0
        vectors.append({word: weight / length for word, weight in vector.items()})
    return vectors


def fill(schema: type[BaseModel], facts: Mapping[str, Any], ranked: Sequence[str]) -> dict[str, Any]:
    """Values for the fields of a schema; fields that have a default and no fact of their name keep it."""
    filled: dict[str, Any] = {}
    for name, field in schema.model_fields.items():
        if name in facts and _fits(facts[name], field):
            filled[name] = facts[name]
        elif field.is_required():
            filled[name] = _value(field.annotation, facts, ranked)
    return filled


def _fits(value: Any, field: FieldInfo) -> bool:
    try:
        TypeAdapter[Any](field.annotation or object).validate_python(value)
    except ValidationError:
        return False
    return True


def _value(kind: Any, facts: Mapping[str, Any], ranked: Sequence[str]) -> Any:
    origin = get_origin(kind)
    if origin in {Union, types.UnionType}:
        return None if type(None) in get_args(kind) else _value(get_args(kind)[0], facts, ranked)
    if origin in {list, tuple}:
        inner = get_args(kind)[0]
        if inner is str:
            return list(ranked[:TEXTS])
        return [_value(inner, facts, ranked)] if isinstance(inner, type) and issubclass(inner, BaseModel) else []
    if origin is dict or kind is dict:
        return {}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return fill(kind, facts, ranked)
    if kind is str:
        return ranked[0] if ranked else NOTHING
    raise SynthesisError(
        f"the embedded author makes up no {getattr(kind, '__name__', kind)}: "
        "give a fact of the field's name, or a default"
    )
