"""What a run is told: plans, tokenizers, modes, scripts, devices, and what is refused."""

import copy
import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cdlm.config import ConfigError
from cdlm.data.corpus import CorpusError
from cdlm.hub import load_model
from cdlm.pipeline import Pipeline
from cdlm.training.plan import plan_run
from cdlm.training.run import train
from tests.training.whole_runs import STEPS, Settings


def test_run_plan_counts_epochs_and_unknown_words(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "valid.txt").write_text("the cat sees a zebra\nthe dog\n", encoding="utf-8")
    config = settings(tmp_path / "run")
    config = config.model_copy(
        update={"data": config.data.model_copy(update={"validation": str(tmp_path / "valid.txt")})}
    )
    plan = plan_run(config)
    assert plan.unknown_rate == pytest.approx(1 / 7)
    positions = sum(len(text) + 2 for text in plan.texts)
    assert plan.epochs == pytest.approx(STEPS * 256 / positions)
    assert sum(plan.model_config.length_counts) == len(plan.texts) == 120
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"backbone": {"model_type": "bret"}}, "did you mean bert"),
        ({"backbone": {"hidden_sise": 32}}, "did you mean hidden_size"),
    ],
)
def test_run_refuses_a_wrong_backbone_before_anything_is_written(
    model: dict[str, Any], said: str, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said):
        train(settings(tmp_path / "run", model=model))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_run_refuses_a_device_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.device=cuda"):
        train(settings(tmp_path / "run", device="cuda"))


def test_run_in_bf16_trains_and_exports(settings: Settings, tmp_path: Path) -> None:
    best = train(settings(tmp_path / "run", dtype="bfloat16", steps=6, eval_every=6))
    weights = load_file(best / "model.safetensors")
    assert weights["head.weight"].dtype == torch.bfloat16
    assert weights["schedule.knots"].dtype == torch.float32
    assert load_model(best).head.weight.isfinite().all()


@pytest.mark.parametrize(
    "changes", [{"length_mode": "padded"}, {"head": "regression", "normalise_embeddings": False, "schedule": "sqrt"}]
)
def test_run_of_every_mode_goes_through(changes: dict[str, Any], settings: Settings, tmp_path: Path) -> None:
    objective = "diffusion_lm" if "head" in changes else "cross_entropy"
    best = train(settings(tmp_path / "run", steps=4, eval_every=4, objective=objective, model=copy.deepcopy(changes)))
    assert math.isfinite(json.loads((best / "training.json").read_text())["validation_loss"])


def test_run_with_byte_pairs_counts_pieces(settings: Settings, tmp_path: Path) -> None:
    config = settings(tmp_path / "run", steps=2, eval_every=2)
    config = config.model_copy(update={"data": config.data.model_copy(update={"tokenizer": "bpe", "vocab_size": 24})})
    plan = plan_run(config)
    words = sum(plan.tokenizer.count_words(t) for t in plan.texts)
    assert sum(plan.model_config.piece_counts) == words
    assert sum(n * k for n, k in enumerate(plan.model_config.piece_counts)) == sum(map(len, plan.texts))
    assert load_model(train(config)).config.piece_counts == plan.model_config.piece_counts


def test_run_with_a_misspelt_tokenizer_says_what_there_is(settings: Settings, tmp_path: Path) -> None:
    config = settings(tmp_path / "run")
    config = config.model_copy(update={"data": config.data.model_copy(update={"tokenizer": "words"})})
    with pytest.raises(
        ConfigError, match=r"data\.tokenizer=words is no folder; give word, bpe, wordpiece, or a folder"
    ):
        plan_run(config)


def test_run_leaves_out_long_lines_on_request_and_counts_them(settings: Settings, tmp_path: Path) -> None:
    config = settings(tmp_path / "run", model={"max_length": 8})
    kept = plan_run(config)
    longer = [text for text in kept.texts if len(text) + 2 > 8]
    assert kept.too_long == len(longer) > 10
    dropped = plan_run(config.model_copy(update={"data": config.data.model_copy(update={"long_lines": "drop"})}))
    assert dropped.too_long == kept.too_long
    assert [text for text in kept.texts if text not in longer] == dropped.texts
    none = {
        "data": config.data.model_copy(update={"long_lines": "drop"}),
        "model": config.model.model_copy(update={"max_length": 4}),
    }
    with pytest.raises(CorpusError, match=r"every line is longer than model\.max_length=4"):
        plan_run(config.model_copy(update=none))


def test_run_takes_the_tokenizer_of_a_folder(reference: Path, settings: Settings, tmp_path: Path) -> None:
    config = settings(tmp_path / "run")
    data = config.data.model_copy(update={"tokenizer": str(reference / "best"), "min_count": 10_000})
    plan = plan_run(config.model_copy(update={"data": data}))
    assert plan.tokenizer.fingerprint == json.loads((reference / "data.json").read_text())["tokenizer_fingerprint"]
    missing = config.data.model_copy(update={"tokenizer": str(tmp_path)})
    with pytest.raises(FileNotFoundError, match=r"no tokenizer\.json in"):
        plan_run(config.model_copy(update={"data": missing}))


@pytest.mark.parametrize(
    "sentences",
    [
        ["这家餐厅的食物很好。", "河边的酒吧很便宜！", "今天去公园吗？"],
        ["هذا المطعم رخيص، والطعام لذيذ.", "أين تقع المكتبة؟"],
        ["I love 🍕 and 👩‍👧 in 🇩🇪!", "Zoë ❤️ the café."],
    ],
    ids=["Chinese", "Arabic", "emoji"],
)
@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_run_on_text_of_any_script_writes_that_script(
    sentences: list[str], kind: str, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "corpus.csv.gz"
    file.write_bytes(gzip.compress(("text\n" + "".join(f'"{line}"\n' for line in sentences * 20)).encode()))
    config = settings(tmp_path / "run", steps=3, eval_every=3, save_every=3)
    data = {"train": str(file), "tokenizer": kind, "vocab_size": 200 if kind == "bpe" else None}
    best = train(config.model_copy(update={"data": config.data.model_copy(update=data)}))
    pipe = Pipeline.from_pretrained(best)
    assert [pipe.tokenizer.decode(ids) for ids in pipe.tokenizer.encode_batch(sentences)] == sentences
    texts = pipe.generate(3, num_inference_steps=4).texts
    assert all(texts)
    assert set("".join(texts)) <= {*"".join(sentences), " "}
