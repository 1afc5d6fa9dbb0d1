"""Texts of few evaluations, by the bundled model and the bundled judge."""

from pathlib import Path

from cdlm.data.records import read_split
from cdlm.evaluation.bench import natural, words
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.metrics import distinct_n
from cdlm.pipeline import Pipeline
from controllers import Length
from tests.conftest import Corpus

TEACHER = Path(__file__).parents[2] / "benchmarks" / "teacher" / "e2e"
TEXTS, WORDS = 48, 20


def test_few_evaluations_still_write_sentences(corpus: Corpus) -> None:
    """Twelve times the perplexity of real text was what eight evaluations of the settings for 64 came to."""
    lines = [natural(line) for line in read_split(corpus("e2e"), "valid").lines]
    real = [line for line in lines if len(words([line])[0]) == WORDS][:TEXTS]
    output = Pipeline.from_pretrained("e2e").generate(TEXTS, controllers=[Length(WORDS)], num_inference_steps=8)
    assert output.evaluations <= 8 * TEXTS
    assert Teacher.from_pretrained(TEACHER).perplexity_ratio(output.texts, real).value < 2
    assert distinct_n(words(output.texts), 4) > 0.8 * distinct_n(words(real), 4)
