"""What becomes of every row of a corpus, and of the numbers, in sentences for whoever trains on it."""

from cdlm.config import DataConfig
from cdlm.machine import about_format
from cdlm.training.plan import Plan, kind_of_device


def remarks(plan: Plan) -> list[str]:
    """What was left out of the corpus, what was kept although it may do harm, and the rule that says so."""
    tally, data, longest = plan.corpus.tally, plan.config.data, plan.config.model.max_length
    dropped = "left out" if data.duplicates == "drop" else "kept"
    shown = "left out" if data.long_lines == "drop" else "shown by another random window each time"
    lines, empty, equal = ("lines", "empty rows", "duplicates")
    if plan.sources is not None:
        lines, empty, equal = ("pairs", "rows with an empty side", "equal pairs")
    rules = {
        f"{empty} left out": tally.empty,
        f"{equal} {dropped} (data.duplicates: {data.duplicates})": tally.duplicates,
        f"longer than model.max_length: {longest}, {shown} (data.long_lines: {data.long_lines})": plan.too_long,
        f"of {len(plan.corpus.validation):,} validation {lines} stand in training too, which flatters": tally.shared,
        f"{lines} with line breaks inside, which are read as blanks": tally.broken,
        **{f"file{'s' * (count > 1)} with {said}": count for said, count in tally.remarks.items()},
        f"other files in the folder ({', '.join(tally.passed_over)}) passed over": sum(tally.passed_over.values()),
    }
    where = "" if plan.stream is None else f", of the first {tally.rows:,} rows"
    return [*(f"{count:,} {rule}{where}" for rule, count in rules.items() if count), *_unheard(data)]


def on_format(plan: Plan) -> str:
    """The number format of the run, and whether it is the fast one of this machine."""
    return about_format(plan.config.train.dtype, kind_of_device(plan.config.train.device))


def _unheard(data: DataConfig) -> list[str]:
    """Settings of a vocabulary that a tokenizer of this kind does not hear."""
    deaf: tuple[str, ...] = {"word": (), "bpe": ("min_count",)}.get(data.tokenizer, ("min_count", "vocab_size"))
    changed = [name for name in deaf if getattr(data, name) != DataConfig.model_fields[name].default]
    return [f"data.{name} says nothing to data.tokenizer: {data.tokenizer}" for name in changed]
