"""Balanced group softmax: its formulas by hand, and that rare classes gain from it."""

from __future__ import annotations

import pytest
import torch

from engine.adapt.grouped_softmax import GroupedSoftmax, is_imbalanced
from engine.errors import EngineError

COUNTS = [5000, 3, 250, 9, 1000, 10]
"""Groups: (1, 3), (5), (2), (0, 4)."""


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def head(**settings: object) -> GroupedSoftmax:
    torch.manual_seed(0)
    return GroupedSoftmax(8, COUNTS, **settings).double()  # type: ignore[arg-type]


def test_groups_by_number_of_examples_and_empty_ones_left_out() -> None:
    assert head().groups == ((1, 3), (5,), (2,), (0, 4))
    assert head(background=True).sizes == [3, 2, 2, 3, 2]
    assert GroupedSoftmax(8, [5, 7]).groups == ((0, 1),)


def test_probabilities_by_hand() -> None:
    layer = head(background=True)
    logits = torch.randn(5, 12, generator=random(1), dtype=torch.float64)
    found = layer.probabilities(logits)
    is_object = logits[:, 10:].softmax(1)[:, 1]
    assert torch.allclose(found[:, 6], 1 - is_object)
    assert torch.allclose(found[:, 3], logits[:, 0:3].softmax(1)[:, 2] * is_object)
    assert torch.allclose(found[:, 0], logits[:, 7:10].softmax(1)[:, 1] * is_object)
    assert torch.allclose(found[:, 5], logits[:, 3:5].softmax(1)[:, 1] * is_object)
    plain = head().probabilities(logits[:, :10])
    torch.testing.assert_close(plain.sum(1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(plain[:, 3] / plain[:, 0], found[:, 3] / found[:, 0])


def test_loss_by_hand() -> None:
    """Enough of every group that all others count; background counts as "others" everywhere."""
    layer = head(background=True)
    labels = torch.tensor([0, 1, 2, 3, 4, 5, 6])
    logits = torch.randn(7, 12, generator=random(2), dtype=torch.float64)
    targets = [
        (slice(0, 3), [0, 1, 0, 2, 0, 0, 0]),
        (slice(3, 5), [0, 0, 0, 0, 0, 1, 0]),
        (slice(5, 7), [0, 0, 1, 0, 0, 0, 0]),
        (slice(7, 10), [1, 0, 0, 0, 2, 0, 0]),
        (slice(10, 12), [1, 1, 1, 1, 1, 1, 0]),
    ]
    wanted = sum(
        torch.nn.functional.cross_entropy(logits[:, part], torch.tensor(target))
        for part, target in targets
    )
    torch.testing.assert_close(layer.loss(logits, labels, random(0)), wanted)


def test_others_are_limited_and_a_group_without_examples_learns_nothing() -> None:
    layer = head(others_per_real=2.0)
    labels = torch.tensor([1] + [0] * 50)  # one example of the first group, fifty of the last
    logits = torch.zeros(51, 10, dtype=torch.float64, requires_grad=True)
    layer.loss(logits, labels, random(3)).backward()
    assert logits.grad is not None
    first = logits.grad[:, 0:3].abs().sum(1) > 0
    assert first[0]
    assert first.sum() == 3  # itself and two others
    assert logits.grad[:, 3:7].abs().max() == 0  # the middle groups have none
    assert (logits.grad[:, 7:10].abs().sum(1) > 0).all()
    chosen = [
        torch.autograd.grad(layer.loss(logits, labels, random(seed)), logits)[0] for seed in (4, 4, 5)
    ]
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])


def test_empty_batches_wrong_labels_and_wrong_groups() -> None:
    layer = head()
    empty = layer.loss(layer(torch.zeros(0, 8).double()), torch.zeros(0, dtype=torch.long), random(0))
    empty.backward()
    assert empty.item() == 0
    with pytest.raises(EngineError, match="Labels go from 0 to 5"):
        layer.loss(torch.zeros(1, 10).double(), torch.tensor([6]), random(0))
    for counts, edges in (([], (10,)), ([-1, 3], (10,)), ([1, 3], (10, 10))):
        with pytest.raises(EngineError, match="cannot be grouped"):
            GroupedSoftmax(8, counts, edges=edges)


def test_what_counts_as_imbalanced() -> None:
    assert is_imbalanced([2100, 100])
    assert not is_imbalanced([2000, 100])
    assert is_imbalanced([21, 0])
    assert not is_imbalanced([])


def test_rare_classes_are_found_more_often_than_with_one_softmax() -> None:
    """Classes of 1500 to 8 examples that overlap: recall of the rare ones and of all, balanced."""
    counts = [1500] * 2 + [200] * 3 + [8] * 5
    gains = torch.tensor([_gain(counts, seed) for seed in range(2)]).mean(0)
    assert gains[0] > 0.02, gains
    assert gains[1] > 0, gains


def _gain(counts: list[int], seed: int) -> list[float]:
    centres = 0.7 * torch.randn(10, 16, generator=random(seed))

    def sample(sizes: list[int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.repeat_interleave(torch.arange(10), torch.tensor(sizes))
        return centres[labels] + torch.randn(len(labels), 16, generator=random(seed)), labels

    features, labels = sample(counts, seed + 1000)
    test, wanted = sample([100] * 10, seed + 2000)
    torch.manual_seed(1)
    grouped, plain = GroupedSoftmax(16, counts), torch.nn.Linear(16, 10)
    both = [*grouped.parameters(), *plain.parameters()]
    optimizer = torch.optim.Adam(both, lr=0.05, weight_decay=1e-3)
    choose = random(seed)
    for _ in range(200):
        batch = torch.randint(len(labels), (512,), generator=choose)
        x, y = features[batch], labels[batch]
        optimizer.zero_grad()
        loss = grouped.loss(grouped(x), y, choose)
        (loss + torch.nn.functional.cross_entropy(plain(x), y)).backward()
        optimizer.step()
    with torch.no_grad():
        by_group = grouped.probabilities(grouped(test)).argmax(1) == wanted
        by_one = plain(test).argmax(1) == wanted
    more = by_group.float() - by_one.float()
    return [float(more[wanted >= 5].mean()), float(more.mean())]
