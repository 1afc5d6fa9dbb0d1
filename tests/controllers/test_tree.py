"""What the settings of tree control do to its evidence, on the bundled model."""

import pytest

from cdlm.pipeline import Pipeline
from controllers import DependencyTree
from tests.controllers.heads import moment

TEXT = "The Eagle is a cheap pub near the river."


@pytest.mark.parametrize("stage", ["open", "half", "nearly"])
def test_another_tag_takes_as_much_as_it_says(stage: str) -> None:
    """Evidence falls with ``other_tag``, nowhere by more than it falls itself, and somewhere by a good part of that."""
    pipe = Pipeline.from_pretrained("e2e")
    evaluate, z = moment(pipe, TEXT, stage)
    loose, plain, strict = (
        DependencyTree(TEXT, other_tag=tag).bind(pipe.heads, pipe.tokenizer).evidence(evaluate(z), pipe.tokenizer)
        for tag in (0.0, -1.5, -4.0)
    )
    assert loose is not None
    assert plain is not None
    assert strict is not None
    for above, below, fall in ((loose, plain, 1.5), (plain, strict, 2.5), (loose, strict, 4.0)):
        found = above - below
        assert found.min() >= -1e-4
        assert 0.5 * fall < found.max() <= fall + 1e-4
