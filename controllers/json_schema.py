"""JsonSchema: the finished text is JSON that a schema allows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cdlm.control.automata.language import Language, LanguageError
from cdlm.control.automata.schema import expressions_of
from cdlm.control.controller import Verdict, WishError
from cdlm.control.layout import Vocabulary
from controllers.matching import Matching


@dataclass(frozen=True)
class JsonSchema(Matching):
    """``JsonSchema({"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}, "required": ["age"]})``.

    JSON on one line, its fields in the schema's order. Followed are types, properties and required, enum and const, items with
    their number, the length, pattern and format (date, time, date-time, uuid) of strings, bounds of numbers, anyOf, and
    references without recursion; any other keyword is refused by name. It is for models that have seen JSON: any other writes
    JSON, too, and fills it badly.
    """

    name = "json"
    schema: dict[str, Any] = field(
        metadata={
            "label": "JSON schema",
            "help": "the schema that the text is valid under",
            "example": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.schema, Mapping):
            raise WishError(f"json: a schema is an object, not {self.schema!r}")
        self.check_form()

    @cached_property
    def _expressions(self) -> tuple[str, ...]:
        try:
            return expressions_of(self.schema)
        except LanguageError as error:
            raise WishError(f"json: {error}") from None

    def languages(self) -> Sequence[Language]:
        return tuple(Language(expression, self.name) for expression in self._expressions)

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        from jsonschema import Draft202012Validator  # noqa: PLC0415 - only those who use it pay for it

        try:
            errors = sorted(Draft202012Validator(self.schema).iter_errors(json.loads(text)), key=str)
        except json.JSONDecodeError as error:
            return Verdict(self.name, False, 0.0, f"no JSON: {error.msg} at character {error.pos + 1}")
        detail = f"{errors[0].json_path}: {errors[0].message[:80]}" if errors else "valid"
        return Verdict(self.name, not errors, float(not errors), detail)
