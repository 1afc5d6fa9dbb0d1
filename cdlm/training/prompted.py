"""Fine-tune a causal language model on "target → text": a prompt of words and symbols, then the text."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from cdlm.data.tokenizer import TextTokenizer
from cdlm.files import write_folder
from cdlm.quiet import quiet_transformers
from cdlm.training.teacher import Scored, TeacherRecipe, fit_causal


def fine_tune(  # noqa: PLR0913 - what is trained, on what, how, and where
    base: GPT2LMHeadModel,
    train: Sequence[Scored],
    valid: Sequence[Scored],
    tokenizer: TextTokenizer,
    out: str | Path,
    recipe: TeacherRecipe,
    *,
    symbols: int,
    checkpoints: str | Path | None = None,
) -> GPT2LMHeadModel:
    """Go on training a copy of `base` that knows `symbols` more entries and `recipe.positions` positions.

    Sequences are given whole; what they call given (the prompt and START) is read and not scored. The recipe's shape is
    that of `base`, only its positions, dropout and the course of training are used.

    Raises:
        ValueError: no sequence fits.
    """
    fitting = [[row for row in rows if len(row.ids) <= recipe.positions] for rows in (train, valid)]
    if not all(fitting):
        raise ValueError(f"no prompt with its text fits into {recipe.positions} positions; give more positions")
    model = fit_causal(
        lambda: grown(base, len(tokenizer) + symbols, recipe), fitting[0], fitting[1], tokenizer, recipe, checkpoints
    )

    def fill(part: Path) -> None:
        with quiet_transformers():
            model.save_pretrained(part)
        tokenizer.save_pretrained(part)

    write_folder(Path(out), fill)
    return model


@torch.no_grad()
def grown(base: GPT2LMHeadModel, entries: int, recipe: TeacherRecipe) -> GPT2LMHeadModel:
    """A copy with more entries and positions; those that are new begin as in an untrained network."""
    shape = {"vocab_size": entries, "n_positions": recipe.positions}
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), recipe.dropout)
    model = GPT2LMHeadModel(GPT2Config.from_dict({**base.config.to_dict(), **shape, **rates}))
    known = base.state_dict()
    for name, value in model.state_dict().items():
        rows = min(len(known[name]), len(value))
        value[:rows] = known[name][:rows]
    return model
