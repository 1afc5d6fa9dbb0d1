"""The control suite: tags, record fields, phrases, trees, lengths and two wishes at once (Li et al. 2022, table 2).

Every task asks for one text a target and reports success with the same figure for real text, fluency and variety against
the sentences that the targets come from, and cost.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from cdlm.control.controller import Controller
from cdlm.control.registry import make_controller
from cdlm.data.corpus import fingerprint
from cdlm.data.records import Split
from cdlm.data.syntax import Parse, parse_texts
from cdlm.data.words import split_words
from cdlm.evaluation import attributes
from cdlm.evaluation.attributes import FieldClassifier
from cdlm.evaluation.bench import Bench, Row, words
from cdlm.evaluation.control_targets import (
    AttributeTarget,
    SpanTarget,
    TagTarget,
    attribute_targets,
    family_targets,
    length_targets,
    pair_targets,
    span_targets,
    tag_targets,
    tree_targets,
)
from cdlm.evaluation.intervals import Figure, ratio_with_interval
from cdlm.evaluation.metrics import word_overlap
from cdlm.evaluation.samples import Samples, write_each
from cdlm.evaluation.systems import Request, Target
from cdlm.evaluation.targets import lines_of_lengths, random_lines

SECOND_JUDGE = (Path("benchmarks/judges/ud_ewt"), Path("runs/judges/ud_ewt"))
FIELD_JUDGES = Path("runs/judges/fields")
JUDGE_EPOCHS = 40
"""Over some 2,300 texts; chosen on half of the validation records."""
HELD = 0.95
"""Share of right tags from which a text of two wishes counts as keeping its tags."""
NO_GAP = 1e-9


T = TypeVar("T", bound=Target)


def usable(bench: Bench) -> Split:
    """This half's lines that the model can write whole, each once, with their records."""
    most = bench.pipe.model.config.max_length - 2
    known = {x for x in bench.known(bench.held_out) if len(bench.pipe.tokenizer.encode(x)) <= most}
    first = {line: row for row, line in reversed(list(enumerate(bench.held_out))) if line in known}
    rows = sorted(first.values())
    half: Split = getattr(bench.halves, bench.half)
    return Split(tuple(bench.held_out[i] for i in rows), half.take(rows).records)


def part_of_speech(bench: Bench) -> list[Row]:
    """The tags of a real sentence."""
    targets = bench.asked(tag_targets(usable(bench).lines, bench.sizes["control"], bench.seed))
    samples = _write(bench, "pos", targets, lambda t: [tags_of(t)])
    return [
        samples.row("tags equal", _right(targets, samples.parses), 1.0, 0.96),
        *_second_judge(samples, targets),
        *_around(samples, bench, 1.3),
    ]


def attribute(bench: Bench) -> list[Row]:
    """A field with its value: one that stands in the text as it is, and the one without a fixed wording."""
    split, count = usable(bench), bench.sizes["control"]
    targets = bench.asked(attribute_targets(split, count, bench.seed))
    samples = _write(bench, "attribute", targets, lambda t: [field_of(t), length_of(t)])
    found = [t.found(x) for t, x in zip(targets, samples.texts, strict=True)]
    return [
        samples.row("value stands as whole words", _stands(targets, samples.texts), 1.0, 0.96),
        samples.row("value is a substring", found, 1.0),
        *_around(samples, bench, 1.15),
        *_family(bench, bench.asked(family_targets(split, count, bench.seed))),
    ]


def _family(bench: Bench, targets: list[AttributeTarget]) -> list[Row]:
    judge = field_judge(bench.other_half)
    samples = _write(bench, "attribute without fixed wording", targets, lambda t: [field_of(t), length_of(t)])
    ours, real = (
        [float(said[t.field] == t.value) for said, t in zip(judge.predict_all(texts), targets, strict=True)]
        for texts in (samples.texts, samples.sources)
    )
    return [samples.row("classifier finds the value", ours, float(np.mean(real))), *_around(samples, bench, 1.15)]


def spans(bench: Bench) -> list[Row]:
    """A phrase of a kind at a place."""
    targets = bench.asked(span_targets(usable(bench).lines, bench.sizes["control"], bench.seed))
    samples = _write(bench, "spans", targets, lambda t: [make_controller("spans", [t.wish]), length_of(t)])
    held = [float(t.stands(p)) for t, p in zip(targets, samples.parses, strict=True)]
    kinds = {t.label: [h for h, other in zip(held, targets, strict=True) if other.label == t.label] for t in targets}
    return [
        samples.row("phrase stands there", held, 1.0, 0.96),
        *(samples.row(f"phrase stands there, {label}", kinds[label], 1.0) for label in sorted(kinds)),
        *_by_place(samples, targets, held),
        *_around(samples, bench, 1.15),
    ]


def _by_place(samples: Samples, targets: list[SpanTarget], held: list[float]) -> list[Row]:
    first = [h for h, t in zip(held, targets, strict=True) if t.start == 0]
    later = [h for h, t in zip(held, targets, strict=True) if t.start > 0]
    named = (("at the beginning", first), ("later", later))
    return [samples.row(f"phrase stands there, {name}", part, 1.0) for name, part in named if part]


def tree(bench: Bench) -> list[Row]:
    """The grammar of a real sentence, beside what its tags alone bring."""
    targets = bench.asked(tree_targets(usable(bench).lines, bench.sizes["control"], bench.seed))
    samples = _write(bench, "tree", targets, lambda t: [make_controller("tree", t.source)])
    alone = _write(
        bench, "tree by tags alone", [TagTarget(t.source, t.parse.tags) for t in targets], lambda t: [tags_of(t)]
    )
    las, base = _right(targets, samples.parses), _right(targets, alone.parses)
    return [
        samples.row("LAS", las, 1.0, 0.88),
        samples.judged("share of the way from tags alone to 1", way(las, base), 1.0, least=0.6),
        *_overlap(bench, samples),
        *_around(samples, bench, 1.3, 0.02),
        alone.row("LAS", base, 1.0),
        *_around(alone, bench),
    ]


def way(scores: Sequence[float], base: Sequence[float]) -> Figure:
    """(mean score - mean base) / (1 - mean base), targets resampled in pairs."""
    gains = [s - b for s, b in zip(scores, base, strict=True)]
    return ratio_with_interval(gains, [1 - b + NO_GAP for b in base])


def _overlap(bench: Bench, samples: Samples) -> list[Row]:
    """Beside the overlap with real sentences of the same lengths, which share the domain's words."""
    templates, taken = words(samples.sources), set(samples.sources)
    others = [line for line in dict.fromkeys(bench.held_out) if line not in taken]
    real = words(lines_of_lengths(others, [len(w) for w in templates], bench.seed))
    ours, chance = (
        [word_overlap(a, b) for a, b in zip(texts, templates, strict=True)] for texts in (words(samples.texts), real)
    )
    return [samples.row("words shared with the template", ours, float(np.mean(chance)))]


def length(bench: Bench) -> list[Row]:
    """A number of words."""
    targets = bench.asked(length_targets(usable(bench).lines, bench.sizes["control"], bench.seed))
    samples = _write(bench, "length", targets, lambda t: [make_controller("length", t.words)])
    off = [t.off(text) for t, text in zip(targets, samples.texts, strict=True)]
    return [
        samples.row("exact", [x == 0 for x in off], 1.0, 1.0),
        samples.row("within 2", [x <= 2 for x in off], 1.0),
        *_around(samples, bench, 1.15),
    ]


def composition(bench: Bench) -> list[Row]:
    """The tags of a sentence and a value that stands in it: the share that keeps both, then each, on the same texts."""
    targets = bench.asked(pair_targets(usable(bench), bench.sizes["control"], bench.seed))
    samples = _write(bench, "composition", targets, lambda t: [tags_of(t.tagged), field_of(t.attribute)])
    stands = _stands([t.attribute for t in targets], samples.texts)
    right = _right([t.tagged for t in targets], samples.parses)
    both = [s and r >= HELD for s, r in zip(stands, right, strict=True)]
    return [
        samples.row(f"value stands and at least {HELD:.0%} of the tags are equal", both, 1.0),
        samples.row("value stands as whole words", stands, 1.0, 0.97),
        samples.row("tags equal", right, 1.0, 0.95),
        *_around(samples, bench),
    ]


def field_judge(split: Split, cache: Path | None = None, epochs: int = JUDGE_EPOCHS) -> FieldClassifier:
    """The classifier of record fields, trained at its first use, and again once its code changes.

    For a report ``split`` is text that neither model nor heads were trained on, and that is not asked for: the other half
    of validation.
    """
    recipe = [inspect.getsource(attributes), str(epochs)]
    made_of = fingerprint(split.lines, [repr(r.pairs) for r in split.records], recipe)
    folder = (cache or FIELD_JUDGES) / made_of[:16]
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        FieldClassifier.train(split, epochs=epochs).save(folder)
    return FieldClassifier.load(folder)


def _write(bench: Bench, task: str, targets: Sequence[T], wishes: Callable[[T], list[Controller]]) -> Samples:
    requests = [Request(target.source, wishes(target), target) for target in targets]
    return write_each(bench.system, task, requests, bench.seed, bench.progress)


def _around(samples: Samples, bench: Bench, ratio: float | None = None, same: float | None = None) -> list[Row]:
    """Everything but success; `ratio` and `same`: the most that perplexity and equal texts may be."""
    training = random_lines(bench.train, min(len(samples.texts), len(bench.train)), bench.seed)
    return [
        samples.fluency(bench.teacher, ratio),
        *bench.by_second_judge(samples.task, samples.texts, samples.sources, paired=True),
        samples.variety(bench.training_like(samples.sources), "training lines"),
        samples.same(same),
        samples.copied(bench.index, training),
        *samples.spent(),
        *samples.refusals(),
    ]


def tags_of(target: TagTarget) -> Controller:
    """The wish for a target's tags."""
    return make_controller("pos", " ".join(target.tags))


def field_of(target: AttributeTarget) -> Controller:
    """The wish for a target's field and value."""
    return make_controller("attribute", target.field, target.value)


def length_of(target: Target) -> Controller:
    """The wish for as many words as the target's sentence has."""
    return make_controller("length", len(split_words(target.source)))


class _Scored(Protocol):
    def right(self, parse: Parse) -> float: ...


def _right(targets: Sequence[_Scored], parses: Sequence[Parse]) -> list[float]:
    return [t.right(p) for t, p in zip(targets, parses, strict=True)]


def _stands(targets: Sequence[AttributeTarget], texts: Sequence[str]) -> list[float]:
    return [float(t.stands(text)) for t, text in zip(targets, texts, strict=True)]


def ud_judge() -> Path | None:
    """The folder of the second parser, where it is trained."""
    return next((folder for folder in SECOND_JUDGE if (folder / "meta.json").is_file()), None)


def _second_judge(samples: Samples, targets: list[TagTarget]) -> list[Row]:
    """Tags by a parser trained on other text; on real sentences it agrees with the first one less than fully, too."""
    folder = ud_judge()
    if folder is None:
        return []
    ours, real = (_right(targets, parse_texts(texts, folder)) for texts in (samples.texts, samples.sources))
    return [samples.row("tags equal by the UD judge", ours, float(np.mean(real)))]
