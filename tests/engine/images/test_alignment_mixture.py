"""What alignment reaches on the exact mixture: the measured behaviour of the method page (N3 to N15).

Three seeds, 100 steps each. ``published`` is the guard of all noise together, ``ours`` the default.
"""

from __future__ import annotations

import math
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.images.alignment import Aligner
from engine.images.alignment_files import AlignedNoise, read_noise
from engine.images.alignment_noise import ActiveNoise, PictureNoise
from engine.images.alignment_state import AlignSettings, AlignState, StepReport
from tests.engine.images.analytic import Analytic, MeanPixel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("single_thread"),
]
SEEDS = (0, 1, 2)
PUBLISHED = {"step_share": 0.0}


@pytest.fixture(scope="module")
def model(golden: Path) -> Analytic:
    return Analytic(golden)


class Outcome:
    """The reports of one run."""

    def __init__(self, model: Analytic, seed: int, **settings: Any) -> None:
        self.reports: list[StepReport] = []
        self.aligner = model.aligner(seed, **settings)
        started = time.process_time()
        self.aligner.run(100, self.reports.append)
        self.seconds = time.process_time() - started
        self.gain = self.reports[-1].total - self.reports[0].total
        self.log_density = float(model.log_density(self.reports[-1].plain))

    def least(self, what: str) -> float:
        """Smallest P or P_step of all steps."""
        return float(10 ** min(getattr(report.seen, what) for report in self.reports))

    @property
    def statuses(self) -> list[str]:
        return [report.seen.status for report in self.reports]


_runs: dict[Any, Outcome] = {}


def outcomes(model: Analytic, **settings: Any) -> list[Outcome]:
    """One run a seed; those that several tests look at are made once."""
    found = []
    for seed in SEEDS:
        key = (seed, *sorted(settings.items()))
        if key not in _runs:
            _runs[key] = Outcome(model, seed, **settings)
        found.append(_runs[key])
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_without_a_guard_the_noise_leaves_what_is_plausible(model: Analytic) -> None:
    for run in outcomes(model, gamma=0.0):
        assert run.gain >= 0.85
        assert run.least("log10_p") < 1e-6
        assert "red" in run.statuses[:50]


def test_the_published_guard_at_full_strength(model: Analytic) -> None:
    runs = outcomes(model, gamma=1.0, **PUBLISHED)
    assert mean([run.gain for run in runs]) >= 0.08
    assert all(run.least("log10_p") >= 0.05 for run in runs)
    assert all(run.log_density >= -80 for run in runs)


def test_a_stronger_guard_wins_less_and_stays_denser(model: Analytic) -> None:
    sweep = [outcomes(model, gamma=gamma, **PUBLISHED) for gamma in (0.0, 0.1, 1.0)]
    gains = [mean([run.gain for run in runs]) for runs in sweep]
    densities = [mean([run.log_density for run in runs]) for runs in sweep]
    assert gains == sorted(gains, reverse=True)
    assert densities == sorted(densities)


def test_opposite_shifts_are_seen_in_the_steps_alone(model: Analytic) -> None:
    for run in outcomes(model, gamma=0.1, **PUBLISHED):
        assert run.least("log10_p") >= 0.05
        assert run.statuses[-1] in ("amber", "red")


def test_our_guard_wins_more_where_both_indicators_stay_well(model: Analytic) -> None:
    runs = outcomes(model, gamma=0.1)
    assert mean([run.gain for run in runs]) >= 0.1
    for run in runs:
        last = run.reports[-1].seen
        assert min(last.log10_p, last.log10_p_step) >= math.log10(0.01)
        assert "red" not in run.statuses
        assert run.log_density >= -21  # the 5 % quantile of the model's own pictures
    # The published guard at the same strength has won as much only where a step alone is red.
    theirs = outcomes(model, gamma=0.1, **PUBLISHED)
    for run in theirs:
        beyond = [r for r in run.reports if r.total - run.reports[0].total >= 0.12]
        assert beyond[-1].seen.log10_p_step < math.log10(1e-3)


def test_a_run_that_was_interrupted_ends_as_the_whole_one(model: Analytic, tmp_path: Path) -> None:
    """N12: stopped at step 40, kept in a file, read by a new aligner, run to 100."""
    (whole, *_) = outcomes(model, gamma=0.1)
    begun = model.aligner(0, gamma=0.1)
    begun.run(40)
    z = begun.state.z
    noise = PictureNoise(z[0], z[1:])
    active = ActiveNoise(len(z), tuple(range(len(z))))
    path = tmp_path / "noise.safetensors"
    path.write_bytes(AlignedNoise({}, noise, noise, active, {}, begun.state, kept=0).to_bytes())
    state = read_noise(path).state
    again = Aligner(model.pictures(0)[0], MeanPixel(), begun.settings, state)
    again.run(100)
    assert torch.equal(again.state.z, whole.aligner.state.z)
    assert len(again.state.history) == len(whole.aligner.state.history)
    for ours, theirs in zip(again.state.history, whole.aligner.state.history, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_a_hundred_steps_are_quick(model: Analytic) -> None:
    run = Outcome(model, 0, gamma=1.0, permutations=10, **PUBLISHED)
    assert run.seconds <= 8


# --- rewards without gradient ---------------------------------------------------------------------


class LitPixels:
    """Share of the pixels above 0.2."""

    def total(
        self, x: Tensor, clipped: bool = False, only: Any = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        values = (x.detach() > 0.2).double().flatten(1).mean(1)
        return values, {"lit": values}


class SmallFile:
    """Minus the bytes of the JPEG of the picture, enlarged eightfold."""

    def total(
        self, x: Tensor, clipped: bool = False, only: Any = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        values = torch.tensor([-float(_jpeg_bytes(one)) for one in x.detach()], dtype=x.dtype)
        return values, {"bytes": values}


def _jpeg_bytes(x: Tensor) -> int:
    import io

    import numpy as np
    from PIL import Image

    pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    large = np.kron(pixels, np.ones((8, 8, 1), np.uint8))
    buffer = io.BytesIO()
    Image.fromarray(large).save(buffer, "JPEG", quality=95)
    return buffer.tell()


@cache
def _estimated(golden: Path, reward: str, seed: int, mu: float) -> tuple[float, float, float]:
    """Value at the start, at the best step, and mu at the end."""
    model = Analytic(golden)
    pictures, z = model.pictures(seed)
    objective: Any = LitPixels() if reward == "lit" else SmallFile()
    settings = AlignSettings(mode="hybrid2", lr=0.02, neighbours=16, mu=mu, seed=seed)
    aligner = Aligner(pictures, objective, settings, AlignState.begin(z, mu))
    reports: list[StepReport] = []
    aligner.run(50, reports.append)
    return reports[0].total, reports[-1].total, aligner.state.mu


@pytest.mark.parametrize("mu", [0.01, 0.1])
def test_neighbours_raise_a_count(golden: Path, mu: float) -> None:
    found = [_estimated(golden, "lit", seed, mu) for seed in SEEDS]
    gains = [after - before for before, after, _ in found]
    assert min(gains) > 0
    assert mean(gains) >= 0.05
    assert all(found_mu > 0.01 for *_, found_mu in found)  # the plateau was left


def test_neighbours_make_files_smaller(golden: Path) -> None:
    found = [_estimated(golden, "bytes", seed, 0.1) for seed in SEEDS]
    savings = [1 - after / before for before, after, _ in found]
    assert min(savings) > 0
    assert mean(savings) >= 0.04
