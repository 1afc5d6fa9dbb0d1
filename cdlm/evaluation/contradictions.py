r"""Self-contradiction: a text about one restaurant that names two different values of one field.

The lexicon says how a value is worded. It was read off the training records and their texts (the n-grams most
peculiar to each value) and errs on the side of silence: a wording that real texts use for several values
("reasonable", "great reviews") names none. Wordings of one bucket are one value: "cheap" and "less than £ 20" do not
contradict each other, "cheap" and "more than £ 30" do. All patterns are searched in lower-cased words joined by one
blank, after two things are masked: every name and neighbour (so that "Raja Indian Cuisine" names no food), and, for
prices and ratings, negated wordings ("not expensive").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdlm.data.records import Record, field_values

FIELDS = ("name", "food", "area", "priceRange", "customerrating", "familyFriendly")

_RATED = r"(?:customer|consumer|user|visitor|guest|satisfaction|rat(?:ed|ings?|es|e)|reviews?|reviewed|scores?|quality|stars?)"
_COST = r"(?:pric(?:e|es|ed|ing|ey)|costs?|costing)"
_YOUNG = r"(?:famil(?:y|ies)|kids?|child(?:ren)?s?)"
_FRIENDLY = rf"{_YOUNG}(?: ')?(?: s)?(?: -)? (?:friendly|oriented|orientated|welcoming)"
_NOT = r"(?:not|n't|non|isn|isnt|never|no|nt|un|without|neither|nor)"
_LINK = r"(?: (?:is|are|was|of|in|at|as|being|falls?|the|a|an|on|within|very|quite|which))*"
_OPEN = rf"(?!(?: customer| consumer)?(?: {_COST}| rat(?:e|ing|ings))(?: range| level)?(?: is| are| of|:))"
"""Not the mean of figures: "the average customer rating is 1 out of 5" names 1 out of 5 only."""


def _range_is(*levels: str) -> str:
    """Wordings like: price range is high; prices are on the high side."""
    return rf"{_COST}(?: ranges?)?{_LINK} (?:{'|'.join(levels)})\b(?! - (?:quality|rated))(?! (?:customer|quality|rat))"


def _rating_is(*levels: str) -> str:
    """Wordings like: customer rating is low; rated low; ratings are very poor."""
    return rf"(?:rat(?:ed|ings?)|reviews?){_LINK} (?:{'|'.join(levels)})\b(?! (?:- )?{_COST})"


def _stars(digit: int, word: str) -> tuple[str, ...]:
    return (
        rf"\b(?:{digit}|{word})(?: -)?(?: stars?)? (?:out of|out|of|/) (?:5|five)\b",
        rf"\b{digit}/5",
        rf"(?<!of )(?<!/ )(?<!out )\b(?:{digit}|{word})(?: -)? stars?\b",
    )


_AREA = {
    "riverside": (r"\briver ?(?:- )?(?:sides?|bank|front)\b", r"\briver\b(?! -)", r"\bwater(?:side|front)\b"),
    "city centre": (
        r"\b(?:city|town)(?: 's)?(?: -)? ?cent(?:re|er|ral)\b",
        r"\bcent(?:re|er) (?:of|in) (?:the )?(?:city|town|cambridge)\b",
        r"\bheart of (?:the )?(?:city|town)\b",
    ),
}
_PRICE = {
    "low": (
        r"\b(?:cheap|cheaply|cheaper|cheapest|inexpensive)\b",
        r"\b(?:less|lower|cheaper) th[ae]n (?:£ )?(?:20|twenty)\b",
        r"\b(?:under|below) (?:£ )?(?:20|twenty)\b",
        rf"\blow(?:er|ly)?(?: -)? {_COST}",
        _range_is("low", "lower"),
    ),
    "middle": (
        r"\bmoderate(?:ly)?\b(?! (?:customer|rat|review|quality))",
        r"(?:£ )?\b20(?: ?-| to| and|-)? ?(?:£ ?)?25\b",
        rf"\b(?:mid|middle|medium)(?: -)?(?: range)?(?: -)? {_COST}",
        rf"\baveragely?{_OPEN}(?: -)? {_COST}\b(?! (?:more|less|over|under|above|below))",
        _range_is("moderate", r"average(?! (?:more|less|over|under|above|below))"),
    ),
    "high": (
        r"(?<!moderately )\b(?:expensive|pricey|costly)\b",
        r"\b(?:more|higher|greater) th[ae]n (?:£ )?(?:30|thirty)\b",
        r"\b(?:over|above) (?:£ )?(?:30|thirty)\b",
        rf"(?<!moderately )\bhigh(?:er|ly)?(?: -)? {_COST}",
        _range_is("high", "higher"),
    ),
}
_RATING = {
    "low": (
        rf"\b(?:low|lowly|poor|poorly|bad|badly)(?: -)? {_RATED}",
        _rating_is("low", "lowly", "poor", "poorly", "badly"),
        *_stars(1, "one"),
    ),
    "middle": (
        rf"\b(?:average|averagely|mediocre){_OPEN}(?: -)? {_RATED}",
        _rating_is(rf"average(?! {_RATED})(?! of)"),
        *_stars(3, "three"),
    ),
    "high": (
        rf"\b(?:high|highly|excellent)(?: -)? (?!quality){_RATED}",
        _rating_is("high", "highly", "excellent"),
        *_stars(5, "five"),
    ),
}
_FOOD_WORDINGS = {"english": ("english", "british"), "fast food": ("fast - food", "fast food", "fastfood")}


@dataclass(frozen=True)
class ValueLexicon:
    """Compiled wordings: field -> value -> pattern."""

    places: re.Pattern[str]
    names: Mapping[str, re.Pattern[str]]
    fields: Mapping[str, Mapping[str, re.Pattern[str]]]

    @classmethod
    def from_records(cls, records: Sequence[Record]) -> ValueLexicon:
        """Names and foods come from the records; prices, ratings, areas and family from the wordings above."""
        values = field_values(records)
        near = values.get("near", ())
        everything = sorted({*values["name"], *near}, key=len, reverse=True)
        food = {v.lower(): tuple(map(_literal, _FOOD_WORDINGS.get(v.lower(), (v.lower(),)))) for v in values["food"]}
        return cls(
            places=re.compile("|".join(map(_place, everything))),
            # A name that is also a neighbour somewhere may stand beside another name without contradiction.
            names={v: re.compile(_place(v)) for v in values["name"] if v not in near},
            fields={
                "food": _compiled(food),
                "area": _compiled(_AREA),
                "priceRange": _compiled(_PRICE),
                "customerrating": _compiled(_RATING),
            },
        )

    def values_named(self, words: Sequence[str]) -> dict[str, frozenset[str]]:
        """For each field the different values that the text names."""
        text = " ".join(words).lower()
        masked = self.places.sub("@", text).replace("british pound", "pound")
        affirmed = _DENIED.sub("@", masked)
        named = {"name": frozenset(v for v, pattern in self.names.items() if pattern.search(text))}
        for field, wordings in self.fields.items():
            named[field] = frozenset(v for v, pattern in wordings.items() if pattern.search(affirmed))
        named["familyFriendly"] = _family(masked)
        return named

    def contradictions(self, words: Sequence[str]) -> frozenset[str]:
        """The fields of which the text names two different values."""
        return frozenset(field for field, named in self.values_named(words).items() if len(named) > 1)


def contradiction_share(texts: Sequence[Sequence[str]], lexicon: ValueLexicon) -> float:
    """Share of texts that contradict themselves in at least one field."""
    if not texts:
        raise ValueError("no text to measure; give at least one")
    return sum(bool(lexicon.contradictions(words)) for words in texts) / len(texts)


def contradictions_by_field(texts: Sequence[Sequence[str]], lexicon: ValueLexicon) -> dict[str, float]:
    """Share of texts that contradict themselves, field by field."""
    if not texts:
        raise ValueError("no text to measure; give at least one")
    found = [lexicon.contradictions(words) for words in texts]
    return {field: sum(field in fields for fields in found) / len(texts) for field in FIELDS}


_DENIED = re.compile(rf"\b{_NOT} (?:too |very |so |overly |that )?\w+")
_NEGATED = re.compile(rf"\b{_NOT}(?: -)?(?: (?!and\b|but\b|only\b|just\b)\w+){{0,4}}?(?: -)? {_FRIENDLY}")
_AGAINST = re.compile(
    r"\badults? only\b|\bno (?:kids|children|families)\b"
    rf"|\bnot (?:(?:suitable|suited|recommended|good|meant) )?(?:for|welcome|allow) {_YOUNG}"
    rf"|\b{_YOUNG}(?: -)? unfriendly|\bun ?(?:- )?{_YOUNG}(?: -)? friendly"
    rf"|\b{_YOUNG} (?:are|is) not (?:welcome|allowed|permitted)"
)
_FOR = re.compile(rf"{_FRIENDLY}|\bwelcomes? {_YOUNG}|\b{_YOUNG} (?:are )?welcome")


def _family(text: str) -> frozenset[str]:
    """Friendly and unfriendly wordings; a negation within five words before turns the wording round."""
    against = _NEGATED.search(text) or _AGAINST.search(text)
    rest = _AGAINST.sub("@", _NEGATED.sub("@", text))
    return frozenset(["no"] * bool(against) + ["yes"] * bool(_FOR.search(rest)))


def _place(value: str) -> str:
    """A name as people write it: any case, accent or none, "The" or none."""
    bare = re.escape(value.lower().removeprefix("the ")).replace("é", "[eé]")
    return rf"\b(?:the )?{bare}\b"


def _literal(wording: str) -> str:
    return rf"\b{re.escape(wording)}\b"


def _compiled(wordings: Mapping[str, Sequence[str]]) -> dict[str, re.Pattern[str]]:
    return {value: re.compile("|".join(f"(?:{p})" for p in patterns)) for value, patterns in wordings.items()}
