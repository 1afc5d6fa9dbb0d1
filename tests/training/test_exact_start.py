"""A pretrained masked model predicts hidden words through this library before any training, as well as by itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE, WordPiece
from transformers import (
    BertConfig,
    BertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

from cdlm.config import parse_config
from cdlm.diffusion.model import DiffusionLM
from cdlm.training.plan import Plan, plan_run
from cdlm.training.run import build_trainer

NOUNS, VERBS = "cat dog bird horse".split(), "sees hears finds likes".split()
LINES = [f"the {a} {v} the {b}" for a in NOUNS for v in VERBS for b in NOUNS if a != b]
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
WORDS = ["the", *NOUNS, *VERBS]


def saved(folder: Path, model: PreTrainedModel, tokenizer: Tokenizer) -> Path:
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def word_pieces() -> Tokenizer:
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    return tokenizer


def byte_pairs() -> Tokenizer:
    """As RoBERTa's: a word begins with its blank, pads have id 1."""
    letters = [*sorted({letter for word in WORDS for letter in word}), "Ġ"]
    merges, pieces = [], []
    for word in WORDS:
        grown = "Ġ"
        for letter in word:
            merges.append((grown, letter))
            grown += letter
            pieces.append(grown)
    entries = list(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters, *pieces]))
    tokenizer = Tokenizer(BPE({e: n for n, e in enumerate(entries)}, list(dict.fromkeys(merges)), unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    return tokenizer


def masked_model(kind: str, size: int) -> PreTrainedModel:
    torch.manual_seed(3)
    if kind == "bert":
        return BertForMaskedLM(BertConfig(vocab_size=size, max_position_embeddings=24, **SIZES))
    if kind == "roberta":
        return RobertaForMaskedLM(RobertaConfig(vocab_size=size, max_position_embeddings=26, pad_token_id=1, **SIZES))
    layers = {"layer_types": ["full_attention"] * 2, "classifier_activation": "gelu"}
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0)
    return ModernBertForMaskedLM(ModernBertConfig(vocab_size=size, **SIZES, **layers, **ids))


def plan_from(folder: Path, out: Path) -> Plan:
    (out / "lines.txt").write_text("\n".join(LINES), encoding="utf-8")
    model = {"backbone_init_from": str(folder), "embedding_dim": 8, "max_length": 16}
    run = {"dtype": "float32", "device": "cpu", "preview": 0, "tokens_per_batch": 64}
    data = {"train": str(out / "lines.txt"), "min_count": 1}
    return plan_run(parse_config({"data": data, "model": model, "train": run, "output": str(out / "run")}))


def start(plan: Plan, out: Path) -> DiffusionLM:
    return build_trainer(plan, out / "run").network.eval()


def hidden_here(model: DiffusionLM, tokens: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Logits of a text of which some words are pure noise."""
    t = hidden.float()
    noise = torch.randn(*tokens.shape, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(model.diffuse(model.embed(tokens), t, noise), t).logits


def hidden_there(model: PreTrainedModel, ids: torch.Tensor, hidden: torch.Tensor, mask: int) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=ids.masked_fill(hidden, mask)).logits


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert"])
def test_logits_of_hidden_words_are_the_encoders_own(kind: str, tmp_path: Path) -> None:
    theirs = byte_pairs() if kind == "roberta" else word_pieces()
    encoder = masked_model(kind, theirs.get_vocab_size())
    folder = saved(tmp_path / "encoder", encoder, theirs)
    plan = plan_from(folder, tmp_path)
    ours = plan.tokenizer
    tokens = torch.tensor([[ours.start_id, *ours.encode(LINES[5]), ours.end_id]])
    blank, ends = ("Ġ", ("<s>", "</s>", "<mask>")) if kind == "roberta" else ("", ("[CLS]", "[SEP]", "[MASK]"))
    ids = [theirs.token_to_id(e) for e in (ends[0], *[blank + w for w in LINES[5].split()], ends[1])]
    hidden = torch.tensor([[False, False, True, False, False, True, False]])
    own = hidden_here(start(plan, tmp_path), tokens, hidden)
    their = hidden_there(encoder, torch.tensor([ids]), hidden, theirs.token_to_id(ends[2]))
    columns = [theirs.token_to_id(blank + token) for token in ours.tokens(range(4, len(ours)))]
    torch.testing.assert_close(own[..., 4:], their[..., columns], atol=0.02, rtol=0.02)


def test_a_trained_masked_model_predicts_before_any_training(tmp_path: Path) -> None:
    """Half of the words hidden: as good as the encoder by itself, and far better than what starts from random weights."""
    theirs = word_pieces()
    encoder = masked_model("bert", theirs.get_vocab_size()).train()
    rows = torch.tensor([[2, *theirs.encode(line).ids, 3] for line in LINES])
    optimiser, draw = torch.optim.AdamW(encoder.parameters(), lr=3e-3), torch.Generator().manual_seed(0)
    words = (rows > 4).float()
    for _ in range(150):
        hidden = (torch.rand(rows.shape, generator=draw) < torch.rand(len(rows), 1, generator=draw)) & (words > 0)
        loss = encoder(input_ids=rows.masked_fill(hidden, 4), labels=rows.masked_fill(~hidden, -100)).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    plan = plan_from(saved(tmp_path / "encoder", encoder, theirs), tmp_path)
    tokens = torch.tensor([[2, *plan.tokenizer.encode(line), 3] for line in LINES])
    hidden = (torch.rand(rows.shape, generator=draw) < 0.5) & (words > 0)
    model = start(plan, tmp_path)
    own = torch.nn.functional.cross_entropy(hidden_here(model, tokens, hidden)[hidden], tokens[hidden])
    their = torch.nn.functional.cross_entropy(hidden_there(encoder, rows, hidden, 4)[hidden], rows[hidden])
    scratch = DiffusionLM(plan.model_config).eval()
    fresh = torch.nn.functional.cross_entropy(hidden_here(scratch, tokens, hidden)[hidden], tokens[hidden])
    assert abs(own - their) < 0.1
    assert own < fresh - 0.8
