"""A small model for every test of samplers and steering."""

import pytest

from cdlm.diffusion.model import DiffusionLM
from tests.sampling.toys import small_model


@pytest.fixture(scope="session")
def model() -> DiffusionLM:
    """Untrained: nothing here depends on what it learnt."""
    return small_model()
