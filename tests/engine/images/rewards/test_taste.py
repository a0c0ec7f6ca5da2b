"""Taste from votes: the solution, leave-one-out by one step and by learning again, few votes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from engine import cli
from engine.artifacts import ArtifactStore
from engine.errors import EngineError
from engine.images.rewards.measuring import builtin_pictures
from engine.images.rewards.protocol import RewardContext, Taste
from engine.images.rewards.taste import (
    TasteHead,
    Votes,
    _rows,
    fit_taste,
    left_out_scores,
    own_taste,
    read_taste,
    taste_file,
    vectors_of,
)
from engine.job import Event, Failed, Finished, JobSpec
from engine.runner import load_job_modules, run_job
from tests.engine.images.rewards.helpers import reward


def unit_vectors(count: int, size: int = 12, seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, size, generator=stream, dtype=torch.float64), dim=1)


def some_votes(vectors: Tensor, count: int, seed: int = 0) -> Votes:
    """Thumbs and pairs by a user who likes the first number, with noise."""
    stream = torch.Generator().manual_seed(seed)
    liking = vectors[:, 0] + 0.2 * torch.randn(len(vectors), generator=stream, dtype=torch.float64)
    half = count // 2
    thumbs = [(i, bool(liking[i] > 0)) for i in range(half)]
    pairs = [(i, i + 1) if liking[i] > liking[i + 1] else (i + 1, i) for i in range(half, count)]
    return Votes(thumbs, pairs)


def test_the_solution_has_no_slope_left() -> None:
    vectors = unit_vectors(60)
    votes = some_votes(vectors, 50)
    head = fit_taste(vectors, votes)
    rows, signs = _rows(vectors, votes)
    found = torch.cat([head.weights, torch.tensor([head.bias], dtype=torch.float64)])
    found.requires_grad_(True)
    # The mean of the losses plus |w|^2 by the number of votes, times that number.
    loss = -F.logsigmoid(signs * (rows @ found)).sum() + found[:-1].square().sum()
    (slope,) = torch.autograd.grad(loss, found)
    assert slope.abs().max() < 1e-4
    assert head.votes == 50
    assert head.weights[0] > head.weights[1:].abs().max()


def test_leaving_out_by_one_step_is_leaving_out_by_learning_again() -> None:
    vectors = unit_vectors(30)
    votes = some_votes(vectors, 24)
    head = fit_taste(vectors, votes)
    rows, signs = _rows(vectors, votes)
    penalty = torch.ones(13, dtype=torch.float64)
    penalty[-1] = 1e-6
    found = torch.cat([head.weights, torch.tensor([head.bias], dtype=torch.float64)])
    quick = left_out_scores(rows, signs, found, penalty)
    exact = []
    for place in range(24):
        thumbs = [v for i, v in enumerate(votes.thumbs) if i != place]
        pairs = [v for i, v in enumerate(votes.pairs) if i + 12 != place]
        other = fit_taste(vectors, Votes(thumbs, pairs))
        exact.append((rows[place, :-1] @ other.weights + rows[place, -1] * other.bias).item())
    torch.testing.assert_close(quick, torch.tensor(exact, dtype=torch.float64), rtol=0.05, atol=0.02)
    right = (signs * torch.tensor(exact, dtype=torch.float64) > 0).double().mean().item()
    assert head.accuracy == pytest.approx(right, abs=1 / 24)


def test_accuracy_is_about_chance_without_a_taste_and_high_with_one() -> None:
    vectors = unit_vectors(300, 24)
    stream = torch.Generator().manual_seed(1)
    random = [(i, bool(torch.rand(1, generator=stream) < 0.5)) for i in range(200)]
    assert 0.3 < fit_taste(vectors, Votes(random)).accuracy < 0.65
    clear = [(i, bool(vectors[i, 0] > 0)) for i in range(200)]
    assert fit_taste(vectors, Votes(clear)).accuracy > 0.7


def test_five_hundred_votes_take_no_time() -> None:
    vectors = unit_vectors(501, 128)
    votes = some_votes(vectors, 500)
    fit_taste(vectors, votes)
    began = time.process_time()
    fit_taste(vectors, votes)
    assert time.process_time() - began < 1.0


def test_pairs_alone_are_enough_and_thumbs_need_both_signs() -> None:
    vectors = unit_vectors(10)
    assert fit_taste(vectors, Votes(pairs=[(0, 1), (2, 3), (4, 5), (6, 7)])).bias == 0


@pytest.mark.parametrize(
    ("votes", "missing"),
    [
        (Votes(), "4 more votes, with at least one like and one dislike"),
        (Votes([(0, True)]), "3 more votes, with at least one dislike"),
        (Votes([(0, False)] * 9), "1 more vote, with at least one like"),
        (Votes([(0, True), (1, False), (2, True)]), "1 more vote"),
        (Votes(pairs=[(0, 1), (0, 2), (0, 3)]), "1 more vote"),
        (Votes([(0, True), (1, False), (2, True), (3, True)]), ""),
    ],
)
def test_what_is_missing_is_counted(votes: Votes, missing: str) -> None:
    assert votes.missing() == missing
    if missing:
        with pytest.raises(EngineError, match="cannot be learnt") as caught:
            fit_taste(unit_vectors(10), votes)
        assert missing in caught.value.hint


def test_a_liking_for_red_is_learnt_from_pictures(tmp_path: Path) -> None:
    samples = builtin_pictures()
    red = (samples[:, 0] - samples[:, 1:].mean(dim=1)).mean(dim=(1, 2))
    votes = Votes([(i, bool(red[i] > red.median())) for i in range(48)])
    head = fit_taste(vectors_of(samples, "cpu"), votes)
    assert head.accuracy > 0.6
    file = tmp_path / "taste.json"
    file.write_text(json.dumps(head.to_json()))
    learnt = own_taste(read_taste(file), "cpu")
    assert isinstance(learnt, Taste)
    assert "48 votes" in learnt.title
    x = samples[48:].clone().requires_grad_(True)
    built = reward("taste", file=str(file))
    liking = built.batch(x, RewardContext())
    assert built.kind == "gradient"
    assert liking.min() > 0
    assert liking.max() < 1
    order = red[48:] > red.median()
    assert liking[order].mean() > liking[~order].mean()
    (gradient,) = torch.autograd.grad(liking.sum(), x)
    assert gradient.abs().max() > 0
    given = reward("taste", RewardContext(taste=learnt))
    torch.testing.assert_close(given.batch(samples[48:], RewardContext()), liking.detach())


@pytest.mark.usefixtures("untouched_user_folders")
def test_without_a_taste_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="taste has not been learnt"):
        reward("taste")
    (tmp_path / "taste.json").write_text("[]")
    for name in ("taste.json", "absent.json"):
        with pytest.raises(EngineError, match=f"The taste {name} cannot be read"):
            reward("taste", file=str(tmp_path / name))


def test_a_taste_goes_through_json() -> None:
    head = TasteHead(torch.tensor([0.5, -1.0], dtype=torch.float64), 0.25, 7, 0.8)
    again = TasteHead.from_json(json.loads(json.dumps(head.to_json())))
    assert torch.equal(again.weights, head.weights)
    assert (again.bias, again.votes, again.accuracy) == (0.25, 7, 0.8)


def pictures_on_disk(folder: Path) -> dict[str, Path]:
    """Twelve of the generator's samples as files, by name."""
    files = {}
    for row, picture in enumerate(builtin_pictures()[:12]):
        file = folder / f"{row}.png"
        pixels = picture.mul(255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(file)
        files[f"picture-{row}"] = file
    return files


def learn(params: dict[str, Any], inputs: dict[str, Path], folder: Path) -> Event:
    """The terminal event of a job that learns a taste."""
    load_job_modules()
    spec = JobSpec("images.learn_taste", params, inputs)
    events: list[Event] = []
    run_job(spec, "job", ArtifactStore(folder / "store"), events.append, lambda: False)
    return events[-1]


def test_a_job_learns_and_keeps_a_taste_that_the_reward_finds(tmp_path: Path) -> None:
    files = pictures_on_disk(tmp_path)
    names = list(files)
    params = {
        "liked": names[:4],
        "disliked": names[4:8],
        "chosen": [[names[8], names[9]], [names[10], names[11]]],
    }
    try:
        done = learn(params, files, tmp_path)
        assert isinstance(done, Finished), done
        assert done.metrics["votes"] == 10
        assert 0 <= done.metrics["accuracy"] <= 1
        built = reward("taste")
        assert "10 votes" in built.title
        liking = built.batch(builtin_pictures()[:12], RewardContext())
        assert liking[:4].mean() > liking[4:8].mean() + 0.02
        assert liking[8] > liking[9]
        refused = learn({"liked": ["picture-0", "other"]}, files, tmp_path)
        assert isinstance(refused, Failed)
        assert "not given: other" in refused.error.message
        few = learn({"liked": ["picture-0"]}, files, tmp_path)
        assert isinstance(few, Failed)
        assert "3 more votes, with at least one dislike" in few.error.hint
        assert read_taste(taste_file()).votes == 10, "what was learnt before stays"
    finally:
        taste_file().unlink(missing_ok=True)


def test_the_command_learns_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path) for path in pictures_on_disk(tmp_path).values()]
    try:
        flags = ["--like", *files[:3], "--dislike", *files[4:6], "--prefer", *files[8:10], "--json"]
        assert cli.main(["taste", *flags]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["votes"] == 6
        assert 0 <= found["accuracy"] <= 1
        assert read_taste(taste_file()).votes == 6
        assert cli.main(["taste"]) == 2
        assert "No pictures were given" in capsys.readouterr().err
        assert cli.main(["taste", "--like", files[0]]) == 2
        assert "more votes" in capsys.readouterr().err
        assert cli.main(["taste", "--like", *files[:3], "--dislike", str(tmp_path / "none.png")]) == 2
        assert "none.png" in capsys.readouterr().err
        assert read_taste(taste_file()).votes == 6, "what was learnt before stays"
    finally:
        taste_file().unlink(missing_ok=True)
