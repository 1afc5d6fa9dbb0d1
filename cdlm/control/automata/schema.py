"""JSON schemas as expressions: compiled by outlines-core, after what it would pass over in silence is refused or rewritten."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from cdlm.control.automata.language import LanguageError
from cdlm.control.automata.numbers import between

ANNOTATIONS = frozenset("$comment $defs $id $schema default definitions deprecated description examples title".split())
BOUNDS = frozenset("minimum maximum exclusiveMinimum exclusiveMaximum".split())
KEYWORDS = frozenset(
    "type properties required additionalProperties enum const items minItems maxItems minLength maxLength "
    "pattern format anyOf $ref".split()
)
FORMATS = frozenset("date date-time time uuid".split())
_MARK = "number within bounds "


def expressions_of(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Expressions that the texts which a schema allows all match: JSON on one line, fields in the schema's order.

    A second one, where strings have patterns, keeps what the patterns admit to JSON's strings.

    Raises:
        LanguageError: a keyword that cannot be followed (named, with its place), a reference to nowhere, or recursion.
    """
    _check(schema, schema, "the schema", ())
    patterned = any("pattern" in part for part in _parts(schema))
    return (_compiled(schema), *([_compiled(_without_patterns(schema))] if patterned else []))


def _compiled(schema: Mapping[str, Any]) -> str:
    from outlines_core.json_schema import build_regex_from_schema  # noqa: PLC0415 - only those who use it pay for it

    bounded: list[str] = []
    plain = json.dumps(_marked(schema, bounded), ensure_ascii=False)
    try:
        expression = str(build_regex_from_schema(plain))
    except ValueError as error:
        raise LanguageError(f"the schema cannot be compiled: {error}") from None
    for place, numbers in enumerate(bounded):
        expression = expression.replace(f'"{_MARK}{place}"', numbers)
    return expression


def _marked(value: Any, bounded: list[str]) -> Any:
    """The schema with every number within bounds as a constant that is found again in the expression."""
    if isinstance(value, list):
        return [_marked(part, bounded) for part in value]
    if not isinstance(value, Mapping):
        return value
    if value.keys() & BOUNDS and value.get("type") in ("integer", "number"):
        bounded.append(_bounded(value))
        return {"const": f"{_MARK}{len(bounded) - 1}"}
    return {
        k: v if k in ("enum", "const") else _marked(v, bounded)
        for k, v in value.items()
        if k not in ANNOTATIONS - _DEFS
    }


_DEFS = frozenset({"$defs", "definitions"})


def _bounded(schema: Mapping[str, Any]) -> str:
    given = {name: Decimal(str(schema[name])) for name in BOUNDS if name in schema}
    low, above = _tighter(given.get("minimum"), given.get("exclusiveMinimum"), 1)
    high, below = _tighter(given.get("maximum"), given.get("exclusiveMaximum"), -1)
    try:
        return between(low, high, above=above, below=below, whole=schema["type"] == "integer")
    except ValueError as error:
        raise LanguageError(f"{error}: {', '.join(f'{k} {v}' for k, v in sorted(given.items()))}") from None


def _tighter(inclusive: Decimal | None, exclusive: Decimal | None, sign: int) -> tuple[Decimal | None, bool]:
    """The bound that says more, and whether it is left out itself."""
    if exclusive is not None and (inclusive is None or sign * (exclusive - inclusive) >= 0):
        return exclusive, True
    return inclusive, False


def _without_patterns(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_patterns(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    return {k: _without_patterns(v) for k, v in value.items() if not (k == "pattern" and isinstance(v, str))}


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    """The schema and all schemas in it."""
    if isinstance(value, Mapping):
        yield value
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _parts(part)


def _check(schema: Any, root: Mapping[str, Any], place: str, above: tuple[str, ...]) -> None:
    """Refuse what cannot be followed, by its name and place."""
    if not isinstance(schema, Mapping):
        raise LanguageError(f"{place} is {json.dumps(schema)[:40]}, which is no schema; write an object")
    strange = sorted(set(schema) - KEYWORDS - BOUNDS - ANNOTATIONS)
    if strange:
        raise LanguageError(f"{place}: {strange[0]} cannot be followed; leave it out")
    if "$ref" in schema:
        _check_reference(str(schema["$ref"]), root, place, above)
        return
    if not schema.keys() & {"type", "enum", "const", "anyOf"}:
        raise LanguageError(f"{place} says nothing of what is allowed; give it a type, enum, const, anyOf or $ref")
    _check_values(schema, place)
    for name, part in schema.get("properties", {}).items():
        _check(part, root, f"{place}.{name}", above)
    if "items" in schema:
        _check(schema["items"], root, f"{place}[]", above)
    for part in schema.get("anyOf", ()):
        _check(part, root, f"{place} (anyOf)", above)


def _check_values(schema: Mapping[str, Any], place: str) -> None:
    kinds = schema.get("type")
    if schema.keys() & BOUNDS and kinds not in ("integer", "number"):
        raise LanguageError(
            f"{place}: bounds need the type integer or number, not {kinds!r}; write anyOf for several types"
        )
    if isinstance(schema.get("additionalProperties", False), Mapping):
        raise LanguageError(f"{place}: additionalProperties with a schema cannot be followed; name the properties")
    if schema.get("format", "date") not in FORMATS:
        raise LanguageError(
            f"{place}: format {schema['format']!r} cannot be followed; use pattern, or {', '.join(sorted(FORMATS))}"
        )
    listed = [kinds] if isinstance(kinds, str) else kinds or []
    if schema.keys() & {"enum", "const"}:
        return
    if "object" in listed and not schema.get("properties"):
        raise LanguageError(f"{place}: an object without properties may hold anything; name its properties")
    if "array" in listed and "items" not in schema:
        raise LanguageError(f"{place}: an array without items may hold anything; give it items")
    missing = sorted(set(schema.get("required", ())) - set(schema.get("properties", {})))
    if missing:
        raise LanguageError(f"{place}: {missing[0]!r} is required, but is no property")


def _check_reference(reference: str, root: Mapping[str, Any], place: str, above: tuple[str, ...]) -> None:
    if reference in above:
        raise LanguageError(f"{place}: $ref {reference!r} leads back to itself; recursion cannot be followed")
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/") if reference.startswith("#") else ["?"]:
        key = part.replace("~1", "/").replace("~0", "~")
        found = root if not key else found.get(key) if isinstance(found, Mapping) else None
    if found is None:
        raise LanguageError(f"{place}: $ref {reference!r} leads nowhere in this schema")
    _check(found, root, place, (*above, reference))
