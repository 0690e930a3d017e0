"""Dev predictions kept with a run: what comes out is what went in, and halves of dev are halves."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from experiments.finetuning.histories import (
    margins_as_text,
    margins_from_text,
    score_and_loss,
    selection_half,
)


def test_margins_survive_as_text():
    margins = np.array([-3.5, 0.0, 1e-3, 120.0, np.nan, np.inf])
    again = margins_from_text(margins_as_text(margins))
    np.testing.assert_allclose(again, margins, rtol=1e-3)
    # 2 bytes an example, 4 characters for 3 bytes
    assert len(margins_as_text(np.zeros(300))) == 800


def test_the_halves_are_stratified_and_always_the_same():
    labels = np.array([0] * 7 + [1] * 4)
    half = selection_half(labels)
    assert half[labels == 0].sum() == 3 and half[labels == 1].sum() == 2
    assert (half == selection_half(labels)).all()


def test_score_and_loss_against_torch():
    logits, labels = (
        torch.randn(20, 2, generator=torch.Generator().manual_seed(1)),
        torch.arange(20) % 2,
    )
    score, loss = score_and_loss(
        (logits[:, 1] - logits[:, 0]).double().numpy(), labels.numpy(), "accuracy"
    )
    assert score == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert loss == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-6)
    assert np.isnan(score_and_loss(np.array([np.nan, 1.0]), np.array([0, 1]), "accuracy")).all()
