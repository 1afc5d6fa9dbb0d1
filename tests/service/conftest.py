"""The bundled model, for what needs texts of it."""

import pytest

from cdlm.pipeline import Pipeline


@pytest.fixture(scope="session")
def pipe() -> Pipeline:
    """The bundled model."""
    return Pipeline.from_pretrained("e2e")
