"""One picture of an alignment job, from its start to its files."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import EngineError, ErrorCode
from engine.images.alignment import STATUSES, Aligner
from engine.images.alignment_density import SURPRISING, describe
from engine.images.alignment_files import MEDIA_TYPE, AlignedNoise, Curve, StoredSteps
from engine.images.alignment_noise import ActiveNoise
from engine.images.alignment_setting import Shared
from engine.images.alignment_start import Start, closeness, facts
from engine.images.alignment_state import AlignSettings, AlignState, StepReport
from engine.images.alignment_sweep import SolvedInParallel
from engine.images.metadata import write_png
from engine.images.probability import plausibility
from engine.images.runs import picture_details

SERIES = "align"


@dataclass
class Kept:
    """The step whose picture is saved, and what the model says of it."""

    step: int
    z: Tensor
    total: float
    density: dict[str, float]


class PictureRun:
    """The alignment of one picture.

    Parameters
    ----------
    shared
        What all pictures of the job share.
    index, seed
        Its place in the job, and its seed.
    start
        Where it begins.
    origin
        The file that it was started from, if any.
    """

    def __init__(
        self, shared: Shared, index: int, seed: int, start: Start, origin: Path | None
    ) -> None:
        self.shared, self.index, self.seed, self.start = shared, index, seed, start
        self._origin = origin
        params, setup = shared.params, shared.setup
        self.active = ActiveNoise.choose(len(setup.grid), shared.noisy, params.last_steps)
        self.pictures = shared.pictures(start.noise, self.active)
        stored = start.stored
        if stored is None:
            z = self.active.take(start.noise).to(setup.ctx.device)
            self.state = AlignState.begin(z, params.mu or AlignSettings.mu)
        else:
            self.state = _on(stored.state, setup.ctx.device)
            if isinstance(self.pictures, SolvedInParallel):
                self.pictures.states = stored.solution
        self.aligner = Aligner(self.pictures, shared.mix, shared.settings(seed), self.state)
        self.curve, self.stored = Curve(), StoredSteps(every=params.store_every)
        if stored is not None:
            self.stored.steps = dict(stored.steps)
            for point in stored.state.history:
                self.curve.add(self._point(point))
        self._seen = 0
        self._solution: Tensor | None = None if stored is None else stored.solution
        self._best_frame: tuple[int, NDArray[np.uint8]] | None = None
        self._ending = ""
        self._seconds = 0.0

    @property
    def has_steps(self) -> bool:
        """Whether there is anything to save."""
        return self._seen > 0

    def optimise(self) -> None:
        """Go through the steps; what stops them is raised."""
        params, started = self.shared.params, time.monotonic()
        self._show_earlier()
        try:
            self._ending = self.aligner.run(
                params.steps,
                self._on_step,
                stop_at_red=params.stop_at_red,
                seconds=None if params.minutes is None else 60 * params.minutes,
            )
        except EngineError as error:
            self._ending = "cancelled" if error.code is ErrorCode.CANCELLED else "failed"
            raise
        finally:
            self._seconds = time.monotonic() - started

    def _show_earlier(self) -> None:
        """Make the stored steps' pictures again: the film of a run that goes on is whole."""
        stored = self.start.stored
        if stored is None:
            return
        ctx = self.shared.setup.ctx
        kept = dict(stored.steps)
        if stored.state.best_z is not None:
            kept[stored.state.best_step] = stored.state.best_z
        for number, (step, z) in enumerate(sorted(kept.items())):
            ctx.check()
            ctx.progress(0, 1, f"Making stored picture {number + 1} of {len(kept)} again")
            picture = self.shared.final(self.start.noise, self.active, z.to(self.state.z))
            self.curve.show(step, _pixels(picture)[0])

    def _on_step(self, report: StepReport) -> None:
        shared, params = self.shared, self.shared.params
        ctx = shared.setup.ctx
        if self._seen == 0 and self.start.about is not None and "inverted" in self.start.about:
            self._tell_closeness(report)
        self._seen += 1
        # Of whole steps only, and not of the look at the end: where the next step starts from.
        if isinstance(self.pictures, SolvedInParallel) and report.step < params.steps:
            self._solution = self.pictures.states
        point = self._point(report.values())
        if report.mu is not None:
            point["mu"] = report.mu
        ctx.measure(SERIES, point)
        frame = _pixels(report.plain)[0]
        if report.best:
            self._best_frame = (report.step, frame)
        keep = report.step % params.store_every == 0 or report.step == params.steps
        self.curve.add(point, frame if keep else None)
        self.stored.add(report.step, report.noise)
        if params.preview_every and report.step % params.preview_every == 0 and ctx.wants_preview():
            ctx.preview(frame)
        stage = f"Step {report.step} of {params.steps}: {report.seen.status}"
        done = self.index * (params.steps + 1) + report.step + 1
        ctx.progress(done, (params.steps + 1) * params.picture.count, stage)

    def _point(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A point of the series: a step's figures, ``positions`` 0..100, and where it belongs."""
        return {
            **values,
            "image": self.index,
            "steps": self.shared.params.steps,
            "positions": self.shared.mix.positions(values["terms"]),
        }

    def _tell_closeness(self, report: StepReport) -> None:
        assert self._origin is not None
        assert self.start.about is not None
        apart = closeness(report.plain, self._origin)
        self.start.about |= {"rms_difference": round(apart, 2), "noise_status": report.seen.status}
        ctx = self.shared.setup.ctx
        odd = "" if report.seen.status == "green" else " That noise does not look random."
        ctx.warn(
            f"Noise was found whose picture differs from {self._origin.name} by {apart:.1f} of 255 "
            f"levels (RMS); the alignment begins with that picture.{odd}"
        )

    # --- saving -----------------------------------------------------------------------------------

    def save(self, interrupted: EngineError | None) -> dict[str, Any]:
        """Save the best picture with its curve and noise; its figures."""
        shared, state = self.shared, self.state
        setup, ctx = shared.setup, shared.setup.ctx
        kept = self._choose(asks=interrupted is None and shared.params.check_density)
        final = shared.final(self.start.noise, self.active, kept.z)
        pixels = _pixels(final)[0]
        name = f"image-{self.index + 1:04d}"
        best = self.active.put(self.start.noise, kept.z)
        first = shared.final(self.start.noise, self.active, self._first_z())
        before, after = shared.rate_all(first), shared.rate_all(final)
        seen = plausibility(kept.z, torch.Generator().manual_seed(self.seed % 2**63))
        figures = {
            "steps": state.step,
            "asked": shared.params.steps,
            "best_step": kept.step,
            "ended": self._ending,
            "status": seen.status,
            "log10_p": _finite(seen.log10_p),
            "log10_p_step": _finite(seen.log10_p_step),
            "rewards": {
                key: {
                    "before": before[key],
                    "after": after[key],
                    "weight": shared.weights.get(key, 0.0),
                }
                for key in after
            },
            "total": {"before": self.curve.points[0]["total"], "after": kept.total},
            "density": kept.density,
            "guard": shared.params.guard,
            **shared.about(),
            "seconds": round(self._seconds, 3),
            "start": self.start.about,
        }
        if self._best_frame is not None:
            self.curve.show(*self._best_frame)
        common = {"prompt": shared.params.picture.prompt, "seed": self.seed}
        noise = AlignedNoise(
            facts(shared.params, setup, self.seed),
            best,
            self.start.noise,
            self.active,
            self.stored.steps,
            _on(state, "cpu"),
            kept.step,
            self._solution,
        )
        curve_file = ctx.attach(name, "curve", self.curve.to_bytes(), MEDIA_TYPE, common)
        noise_file = ctx.attach(name, "noise", noise.to_bytes(), MEDIA_TYPE, common)
        details = picture_details(setup, self.seed, pixels.shape)
        details["label"] = "aligned"
        details["align"] = {**figures, "curve": curve_file.to_json(), "noise": noise_file.to_json()}
        ctx.save(name, write_png(pixels, ctx.manifest(name, details)), "image/png", details)
        return {"seed": self.seed, **figures}

    def _first_z(self) -> Tensor:
        return self.active.take(self.start.noise).to(self.state.z)

    def _choose(self, *, asks: bool) -> Kept:
        """The best picture, or with the guard on the best stored one that the model still knows."""
        state, shared = self.state, self.shared
        assert state.best_z is not None, "the first step is kept until there is a better one"
        best = Kept(state.best_step, state.best_z, state.best_total, {})
        if not asks:
            return best
        before = shared.density_of(self.start.noise, self.active, self._first_z())
        limit = max(SURPRISING, before)

        def ask(kept: Kept) -> Kept:
            after = shared.density_of(self.start.noise, self.active, kept.z)
            kept.density = {"before": round(before, 3), "after": round(after, 3)}
            return kept

        chosen = ask(best)
        if chosen.density["after"] > limit and shared.gamma > 0:
            unknown = chosen
            for chosen in self._stored_below(best.total):
                if ask(chosen).density["after"] <= limit:
                    break
            chosen.density["best_step"] = unknown.step
            chosen.density["best"] = unknown.density["after"]
            shared.setup.ctx.warn(
                f"The best picture is that of step {unknown.step}, but the model knows it less well "
                f"than those of other seeds (by {unknown.density['after']:.1f} standard deviations): "
                f"that of step {chosen.step} is kept. All stored steps can be looked at."
            )
        elif text := describe(chosen.density["after"], before):
            shared.setup.ctx.warn(text)
        return chosen

    def _stored_below(self, total: float) -> Iterator[Kept]:
        """Acceptable stored steps, the best first; at last the picture that it began with."""
        worst = STATUSES.index(self.aligner.settings.worst_kept)
        points = [
            point
            for point in self.curve.points
            if point["step"] in self.stored.steps
            and point["total"] < total
            and STATUSES.index(point["status"]) <= worst
        ]
        for point in sorted(points, key=lambda point: -point["total"]):
            z = self.stored.steps[point["step"]].to(self.state.z)
            yield Kept(point["step"], z, point["total"], {})
        yield Kept(0, self._first_z(), self.curve.points[0]["total"], {})


def _pixels(x: Tensor) -> NDArray[np.uint8]:
    """8-bit RGB ``(B, H, W, 3)`` of pictures in [0, 1], the bits that generation makes."""
    levels = (x.float().clamp(0, 1) * 255).round().byte()
    pixels: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def _on(state: AlignState, device: str) -> AlignState:
    """The state with its tensors on a device."""
    moved: Mapping[str, Any] = {
        key: value.to(device) if isinstance(value, Tensor) else value
        for key, value in vars(state).items()
    }
    return AlignState(**moved)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
