"""Controllers that ask for an exact form: what they write, what they refuse, and their judges."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal

import pytest

from cdlm.control.automata.numbers import between
from cdlm.control.controller import Controller, WishError
from cdlm.pipeline import Pipeline
from controllers import Choice, Contains, EndsWith, Infill, JsonSchema, Keywords, Length, Regex, StartsWith

ASKED: list[tuple[list[Controller], str]] = [
    ([Regex(r"[A-Z]\w+ (?:is|serves) .*(?:cheap|dear).*\.")], r"[A-Z]\w+ (?:is|serves) .*(?:cheap|dear).*\."),
    ([StartsWith("near the"), Contains("pub|hotel")], r"near the\b.*(?:pub|hotel).*"),
    ([EndsWith("food."), Contains("dear", negate=True), Length(6, 9)], r"(?!.*dear).*\bfood\."),
    ([Choice(["Zizzi is a pub.", "Aromi"])], r"Zizzi is a pub\.|Aromi"),
    ([Regex(".* near .*"), Keywords(include=["hotel"], exclude=["dear"]), Length(8)], ".* near .*"),
]


@pytest.mark.parametrize(("wishes", "expression"), ASKED)
@pytest.mark.parametrize("fixture", ["tiny_pipe", "tiny_bpe_pipe"])
def test_what_is_written_matches(
    fixture: str, wishes: list[Controller], expression: str, request: pytest.FixtureRequest
) -> None:
    pipe: Pipeline = request.getfixturevalue(fixture)
    output = pipe.generate(4, controllers=wishes, num_inference_steps=6, seed=1)
    for written in output:
        assert re.fullmatch(expression, written.text), written.text
        assert written.satisfied, written.verdicts


def test_named_gaps_hold_what_they_are_asked_for(tiny_pipe: Pipeline) -> None:
    gaps = {"name": ["Zizzi", "Aromi"], "rest": Regex(r"(?:cheap|dear) (?:pub|cafe)")}
    wish = Infill("[*:name] is a [*:rest] near the [1] .", gaps=gaps)
    for written in tiny_pipe.generate(4, controllers=[wish], num_inference_steps=4):
        assert re.fullmatch(r"(Zizzi|Aromi) is a (cheap|dear) (pub|cafe) near the \w+ ?\.", written.text)
        assert written.satisfied
    assert not wish.judge("Cocum is a cheap pub near the park .", tiny_pipe.tokenizer).satisfied


def test_the_same_seed_writes_the_same_texts_in_any_batch(tiny_pipe: Pipeline) -> None:
    wishes = [Regex(r".*(?:pub|cafe).*\.")]
    together = tiny_pipe.generate(4, controllers=wishes, num_inference_steps=5, seed=3).texts
    assert tiny_pipe.generate(4, controllers=wishes, num_inference_steps=5, seed=3, batch_size=1).texts == together


def test_an_edit_follows_an_expression(tiny_pipe: Pipeline) -> None:
    texts = tiny_pipe.edit(
        "Zizzi is a cheap pub near the park .", 0.9, controllers=[Regex(".*hotel.*river.*")], count=3
    ).texts
    assert all(re.fullmatch(".*hotel.*river.*", text) for text in texts)
    with pytest.raises(WishError, match="no text with words of the same shape"):
        tiny_pipe.edit("Zizzi is a pub .", 0.9, controllers=[Regex("Zizzi is a cheap pub near .*")])


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        ([Regex(r"£\d+")], "no '£'"),
        ([StartsWith("Zizzi"), StartsWith("Aromi")], "no text satisfies all of them"),
        ([Regex(r"\w+ \w+"), Length(5)], "5 to 5 words"),
        ([Regex(".*"), Contains("park"), Keywords(exclude=["park"])], "at once"),
    ],
)
def test_what_cannot_be_is_refused_before_writing(tiny_pipe: Pipeline, wishes: Sequence[Controller], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        tiny_pipe.generate(1, controllers=wishes)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Regex("a(?!b)"), "look-around"),
        (lambda: Regex("a" * 10_000), "positions"),
        (lambda: Regex(""), "not empty"),
        (lambda: Choice([]), "list"),
        (lambda: Choice(["a", " "]), "not empty"),
        (lambda: Infill("[*] is [1]", gaps={"price": ".*"}), "no gap is named 'price'"),
        (lambda: Infill("[*:a b] is", gaps={"a b": ".*"}), "a name is letters"),
        (lambda: Infill("[*:price] is", gaps={"price": Length(3)}), "takes Regex"),
        (lambda: JsonSchema({"type": "integer", "multipleOf": 3}), "multipleOf"),
        (lambda: JsonSchema({"type": "array", "items": {"type": "null"}, "uniqueItems": True}), "uniqueItems"),
        (lambda: JsonSchema({"type": "object", "properties": {"a": {"$ref": "#"}}}), "recursion"),
        (lambda: JsonSchema({"$ref": "#/$defs/nowhere"}), "leads nowhere"),
        (lambda: JsonSchema({"type": "integer", "minimum": 3, "maximum": 2}), "no number"),
        (lambda: JsonSchema({"type": "object"}), "without properties"),
    ],
)
def test_awkward_input_is_one_clear_error(make: object, why: str) -> None:
    with pytest.raises(WishError, match=why):
        make()  # type: ignore[operator]


def test_a_judge_that_would_take_ages_says_so(tiny_pipe: Pipeline) -> None:
    verdict = Regex("(a+)+$").judge("a" * 60 + "b", tiny_pipe.tokenizer)
    assert not verdict.satisfied


@pytest.mark.parametrize(
    ("wish", "text", "right"),
    [
        (StartsWith("The pub"), "The pub.", True),
        (StartsWith("The pub"), "The public", False),
        (EndsWith("pub."), "a pub.", True),
        (EndsWith("pub."), "a gastropub.", False),
        (EndsWith("?"), "is it?", True),
        (Contains("b+", negate=True), "aaa", True),
        (Choice(["a b"]), "a b", True),
        (JsonSchema({"type": "integer", "minimum": 3}), "2", False),
        (JsonSchema({"type": "integer"}), "2.", False),
    ],
)
def test_judges_read_the_text_alone(tiny_pipe: Pipeline, wish: Controller, text: str, right: bool) -> None:
    assert wish.judge(text, tiny_pipe.tokenizer).satisfied == right


def _admits(low: int | None, high: int | None, value: Decimal) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


@pytest.mark.parametrize("low", [None, -12, -1, 0, 7, 99])
@pytest.mark.parametrize("high", [None, -3, 0, 8, 10, 104])
def test_bounds_of_numbers_hold_exactly(low: int | None, high: int | None) -> None:
    bounds = [None if bound is None else Decimal(bound) for bound in (low, high)]
    if low is not None and high is not None and low > high:
        with pytest.raises(ValueError, match="no number"):
            between(*bounds)
        return
    whole, decimal = re.compile(between(*bounds, whole=True)), re.compile(between(*bounds))
    for number in range(-130, 1100):
        assert bool(whole.fullmatch(str(number))) == _admits(low, high, Decimal(number))
        tenths = Decimal(number) / 10
        text = f"{tenths:.1f}"
        assert bool(decimal.fullmatch(text)) == (_admits(low, high, tenths) and text != "-0.0")
    assert not any(whole.fullmatch(wrong) for wrong in ("01", "-0", "+1", "1.0", ""))


def test_bounds_can_be_left_out_themselves() -> None:
    inside = re.compile(between(Decimal("0.5"), Decimal(2), above=True, below=True))
    assert [n for n in ("0.5", "0.50", "0.51", "1", "1.99", "2", "2.0") if inside.fullmatch(n)] == ["0.51", "1", "1.99"]


def test_a_schema_is_read_and_its_numbers_are_bounded() -> None:
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["pub", "cafe"]},
            "age": {"type": "integer", "minimum": 18, "maximum": 20},
            "code": {"type": "string", "pattern": "[a-c]+"},
        },
        "required": ["kind", "age"],
    }
    first, second = (language.expression for language in JsonSchema(schema).languages())
    good = ['{"kind": "pub", "age": 19}', '{"kind": "cafe", "age": 18, "code": "ab"}']
    bad = [
        '{"kind": "pub", "age": 21}',
        '{"age": 19}',
        '{"kind": "pub", "age": 19, "code": "dd"}',
        '{"kind": "bar", "age": 19}',
    ]
    assert all(re.fullmatch(first, text) and re.fullmatch(second, text) for text in good)
    assert not any(re.fullmatch(first, text) for text in bad)
    judged = JsonSchema(schema)
    assert [judged.judge(text, None).satisfied for text in [*good, *bad]] == [True] * 2 + [False] * 4  # type: ignore[arg-type]
    assert json.loads(good[1])["code"] == "ab"
