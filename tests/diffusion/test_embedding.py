"""The embedding table."""

import math

import pytest
import torch

from cdlm.diffusion.embedding import TokenEmbedding


def table(vocab: int = 7, dim: int = 5, normalise: bool = True) -> TokenEmbedding:
    embedding = TokenEmbedding(vocab, dim, normalise)
    torch.nn.init.normal_(embedding.weight, generator=torch.Generator().manual_seed(0))
    return embedding


def test_embedding_rows_have_length_sqrt_dim() -> None:
    embedding = table()
    embedding.weight.data *= 17
    torch.testing.assert_close(embedding.table().norm(dim=-1), torch.full((7,), math.sqrt(5)))


def test_embedding_of_the_paper_is_free() -> None:
    embedding = table(normalise=False)
    assert torch.equal(embedding.table(), embedding.weight)


def test_embedding_looks_rows_up() -> None:
    embedding = table()
    tokens = torch.tensor([[3, 0], [6, 3]])
    assert torch.equal(embedding(tokens)[1, 0], embedding.table()[6])
    assert torch.equal(embedding(tokens)[0, 0], embedding(tokens)[1, 1])


def test_embedding_expected_is_the_mean_under_the_softmax() -> None:
    embedding = table()
    logits = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(1))
    found = embedding.expected(logits)
    for row, place in ((b, p) for b in range(2) for p in range(3)):
        weights = [math.exp(float(x)) for x in logits[row, place]]
        mean = sum(w / sum(weights) * embedding.table()[i] for i, w in enumerate(weights))
        torch.testing.assert_close(found[row, place], mean)


def test_embedding_expected_of_a_sure_token_is_its_row() -> None:
    embedding = table()
    logits = torch.full((1, 1, 7), -torch.inf)
    logits[0, 0, 4] = 0
    assert torch.equal(embedding.expected(logits)[0, 0], embedding.table()[4])


def test_embedding_table_is_fp32_under_bf16_weights() -> None:
    embedding = table().bfloat16()
    assert embedding.table().dtype == torch.float32
    torch.testing.assert_close(embedding.table().norm(dim=-1), torch.full((7,), math.sqrt(5)))


def test_embedding_mean_cosine_is_the_mean_over_pairs() -> None:
    embedding = table()
    rows = embedding.weight.detach()
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    mean = sum(float(torch.cosine_similarity(rows[i], rows[j], dim=0)) for i, j in pairs) / len(pairs)
    assert embedding.mean_cosine() == pytest.approx(mean, abs=1e-6)


def test_embedding_mean_cosine_of_a_collapsed_table_is_one() -> None:
    embedding = table()
    embedding.weight.data[:] = embedding.weight.data[0] * torch.arange(1, 8)[:, None]
    assert embedding.mean_cosine() == pytest.approx(1, abs=1e-5)
