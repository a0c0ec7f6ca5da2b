"""Parallel sampling as a job runs it: several devices, previews a round, trajectories, comparison.

For each round and picture it measures a point of the series ``parallel``, see :meth:`_point`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from engine.device import memory_budget, peers
from engine.errors import EngineError, ErrorCode
from engine.images.generators import (
    Computing,
    CountingDenoiser,
    Generator,
    cached_generator,
    evaluation_bytes,
    initial_noise,
)
from engine.images.parallel import ParallelSolver
from engine.images.parallel_rows import (
    PROBE_ROWS,
    WORTHWHILE_GAIN,
    Place,
    Probe,
    RowEvaluator,
    probe_network,
)
from engine.images.parallel_start import missing_start, read_start
from engine.images.parallel_state import ParallelSettings, PictureState, Round, cold_start, warm_start
from engine.images.params import GenerateParams, ParataaParams
from engine.images.parataa import settings_of, solve_sequentially, system_of
from engine.images.runs import (
    ArithmeticOfPictures,
    Chunk,
    Sampled,
    Setup,
    picture_name,
    total_arithmetic,
)
from engine.images.trace import Trace
from engine.images.trajectory import Trajectory, run_facts, write_trajectory

SERIES = "parallel"
MEDIA_TYPE = "application/x-safetensors"
CANCELLED, FAILED = "cancelled", "failed"
CPU_ROWS = 16
"""Rows at once on a CPU, where more are no faster and a cancel would have to wait for them."""

SLOW_DECODE_SECONDS = 2.0
HISTORY_SHARE = 0.5
"""Part of the free memory that the states of all pictures of a batch may take."""

_probes: WeakKeyDictionary[Generator, dict[Computing, Probe]] = WeakKeyDictionary()


class ParallelRun:
    """The run of a job whose sampler is ``parataa``; see :class:`engine.images.runs.Run`.

    Parameters
    ----------
    setup
        What the job has loaded.
    inputs
        ``start``, if given: a trajectory, or a PNG of Triptych whose run is repeated to have one.

    Raises
    ------
    EngineError
        ``invalid_input`` when the model cannot be sampled in parallel, the start picture does not
        fit, or settings contradict each other.
    """

    def __init__(self, setup: Setup, inputs: Mapping[str, Any]) -> None:
        assert isinstance(setup.params.sampler, ParataaParams)
        self.setup, self.params = setup, setup.params.sampler
        self.system = system_of(self.params, setup.grid)
        self.needs_noise = self.system.has_noise
        self._denoisers: list[CountingDenoiser] = []
        self._places = [
            self._place(device) for device in peers(setup.ctx.spec.device, setup.ctx.device)
        ]
        self._evaluate = RowEvaluator(self._places, setup.grid, setup.shape, setup.ctx.check)
        self._steps, self._elements = len(setup.grid), math.prod(setup.shape)
        self._like = torch.empty(0, dtype=setup.state_dtype, device=setup.ctx.device)
        self.probe = self._look_at_network()
        self.settings = self._settings()
        self._warn_of_tolerance()
        self._pictures: dict[int, dict[str, Any]] = {}
        self._start = None if "start" not in inputs else self._read_start(Path(inputs["start"]))
        if self._start is None and self.params.variation_step is not None:
            raise missing_start(self.params.variation_step)

    @property
    def evaluations(self) -> int:
        """See :class:`engine.images.runs.Run`."""
        return sum(denoiser.evaluations for denoiser in self._denoisers)

    def metrics(self) -> dict[str, Any]:
        """Figures of every picture, and what is to be said of this machine."""
        notes = []
        if self.probe.batch_gain < WORTHWHILE_GAIN:
            notes.append(
                f"On this machine {PROBE_ROWS} states at once are computed only "
                f"{self.probe.batch_gain:.1f} times as fast as one after another. Parallel sampling "
                "needs fewer rounds here, but more time than a sequential sampler."
            )
        return {
            "rounds": max((picture["rounds"] for picture in self._pictures.values()), default=0),
            "pictures": list(self._pictures.values()),
            "batch_gain": round(self.probe.batch_gain, 3),
            "devices": [place.device for place in self._places],
            "notes": notes,
            **total_arithmetic(self._denoisers),
        }

    # --- preparing --------------------------------------------------------------------------------

    def _place(self, device: str) -> Place:
        setup, ctx = self.setup, self.setup.ctx
        generator, condition = setup.generator, setup.condition
        if device != ctx.device:
            generator = cached_generator(generator.info, device)
            condition = generator.condition(
                setup.params.prompt, setup.params.class_name, setup.params.negative_prompt
            )
        denoiser = generator.denoiser(condition, setup.params.guidance, setup.computing)
        self._denoisers.append(denoiser)
        fitting = memory_budget(device) // max(1, evaluation_bytes(generator, setup.shape))
        if device == "cpu":
            fitting = min(fitting, CPU_ROWS)
        return Place(denoiser, device, max(1, int(fitting) >> ctx.attempt))

    def _look_at_network(self) -> Probe:
        generator, computing = self.setup.generator, self.setup.computing
        known = _probes.setdefault(generator, {})
        if computing not in known:
            first = self._places[0].denoiser
            known[computing] = probe_network(first, self.setup.grid, self.setup.shape, self._like)
        probe = known[computing]
        probe.require_independent(generator.info.title)
        return probe

    def _settings(self) -> ParallelSettings:
        pictures = min(self.setup.params.batch, self.setup.params.count)
        budget = int(memory_budget(self.setup.ctx.device) * HISTORY_SHARE) // pictures
        return settings_of(self.params, self._steps, self._elements, budget)

    def _warn_of_tolerance(self) -> None:
        """A residual below the rounding noise of the predictions cannot be seen to vanish."""
        lost = int(np.sum(np.abs(self.system.b) * self.probe.noise > self.params.tolerance))
        if lost > self._steps // 5:
            self.setup.ctx.warn(
                f"The tolerance of {self.params.tolerance:g} is below the rounding noise of this model "
                f"(about {self.probe.noise:.1g}) for {lost} of {self._steps} steps: these are solved "
                "one a round, so that little is left of the gain. The picture is right all the same. "
                "A larger tolerance or float32 avoids it."
            )

    def _run_facts(self, params: GenerateParams, seed: int) -> dict[str, Any]:
        """Which run states are of; see :mod:`engine.images.trajectory`."""
        setup = self.setup
        return run_facts(setup.generator, setup.grid, setup.shape, params, self.settings, seed)

    def _read_start(self, path: Path) -> Trajectory:
        facts = self._run_facts(self.setup.params, self.setup.ctx.spec.seed)
        return read_start(
            path, self.setup, facts, self.settings, self.params.variation_step, self._solve_again
        )

    def _solve_again(self, made: GenerateParams, seed: int) -> PictureState:
        """All states of a picture that did not keep them."""
        setup = self.setup
        condition = setup.generator.condition(made.prompt, made.class_name, made.negative_prompt)
        computing = Computing.of(made)
        denoiser = setup.generator.denoiser(condition, made.guidance, computing)
        self._denoisers.append(denoiser)
        place = Place(denoiser, setup.ctx.device, self._places[0].rows)
        evaluate = RowEvaluator([place], setup.grid, setup.shape, setup.ctx.check)
        noise = initial_noise([seed], setup.shape, self._steps, self.needs_noise)
        chunk = Chunk([0], [seed], *noise, before=0)
        # The start picture whole, wherever the new one is to stop.
        settings = replace(self.settings, max_rounds=None, stop_movement=None)
        start = cold_start(self.system, *self._flat(chunk, 0))
        solver = self._solver(evaluate, chunk, [start], settings)
        while not solver.done:
            (item,) = solver.round()
            setup.ctx.progress(0, 1, f"Solving the start picture: round {item.number}")
        return solver.pictures[0]

    # --- sampling ---------------------------------------------------------------------------------

    def _flat(self, chunk: Chunk, index: int) -> tuple[Tensor, Tensor | None]:
        """x_T ``(d,)`` and the step noise ``(T, d)`` of one picture, on the device."""
        noise = chunk.noise[:, index].flatten(1).to(self._like.device) if self.needs_noise else None
        return chunk.pure_noise[index].flatten().to(self._like), noise

    def _solver(
        self,
        evaluate: RowEvaluator,
        chunk: Chunk,
        starts: list[PictureState],
        settings: ParallelSettings | None = None,
    ) -> ParallelSolver:
        noise = [
            kick for index in range(len(starts)) if (kick := self._flat(chunk, index)[1]) is not None
        ]
        return ParallelSolver(
            evaluate, self.setup.grid, self.system, settings or self.settings, noise, starts
        )

    def _first_state(self, chunk: Chunk, index: int) -> PictureState:
        if self._start is None:
            return cold_start(self.system, *self._flat(chunk, index))
        known = self._start.picture
        known.states = known.states.to(self._like)
        if self.params.variation_step is not None:
            step = self.params.variation_step
            return warm_start(self._evaluate, self.system, known.states, step)
        for iterate in known.history:
            iterate.states = iterate.states.to(self._like)
            iterate.residual = iterate.residual.to(self._like)
        known.above = None if known.above is None else known.above.to(self._like)
        return known

    def sample(self, chunk: Chunk) -> Sampled:
        """Solve the pictures of a chunk; also those that a cancel or an error left unsolved."""
        started = time.monotonic()
        self._arithmetic = ArithmeticOfPictures(self._denoisers, len(chunk.indices))
        starts = [self._first_state(chunk, index) for index in range(len(chunk.indices))]
        solver = self._solver(self._evaluate, chunk, starts)
        traces = [Trace() for _ in starts]
        interrupted: EngineError | None = None
        shown = None
        try:
            while not solver.done:
                rounds = solver.round()
                seconds = time.monotonic() - started
                for item in rounds:
                    self.setup.ctx.measure(
                        SERIES, self._point(chunk.indices[item.picture], item, seconds)
                    )
                # Only while it goes on: the finished pictures are decoded when they are saved.
                frames = None if solver.done else self._preview(solver)
                shown = frames if frames is not None else shown
                for item in rounds:
                    frame = None if frames is None else frames[item.picture]
                    traces[item.picture].add(item, seconds, frame)
                self._progress(chunk, solver)
        except EngineError as error:
            if not any(trace.rounds for trace in traces):
                raise
            interrupted = error
        sampled = Sampled(self._pictures_so_far(solver), [], interrupted)
        slow = (self.setup.previewer.seconds_each or 0.0) > SLOW_DECODE_SECONDS
        if interrupted is not None and shown is not None and slow:
            sampled.pixels = shown
        for index, picture in enumerate(solver.pictures):
            seconds = time.monotonic() - started
            details = self._details(chunk, index, picture, traces[index], seconds, interrupted)
            sampled.details.append(details)
        return sampled

    def _point(self, index: int, item: Round, seconds: float) -> dict[str, Any]:
        """What panels get of a round: JSON values, the residuals with None outside the window."""
        return {
            "image": index,
            "round": item.number,
            "finished": item.finished,
            "steps": self._steps,
            "evaluations": item.evaluations,
            "residuals": [None if math.isnan(v) else float(v) for v in item.residuals],
            "tolerance": self.settings.tolerance,
            "converged": item.finished == 0,
            "seconds": round(seconds, 3),
        }

    def _pictures_so_far(self, solver: ParallelSolver) -> Tensor:
        """x_0 of the solved pictures, the last prediction of it of the others."""
        states = [
            picture.states[0] if picture.finished == 0 or picture.clean is None else picture.clean
            for picture in solver.pictures
        ]
        return torch.stack(states).view(-1, *self.setup.shape)

    def _preview(self, solver: ParallelSolver) -> Any:
        return self.setup.previewer(0, self._pictures_so_far(solver))

    def _progress(self, chunk: Chunk, solver: ParallelSolver) -> None:
        solved = sum(self._steps - picture.finished for picture in solver.pictures)
        number = max(picture.rounds for picture in solver.pictures)
        left = max(picture.finished for picture in solver.pictures)
        share = 2 if self.params.compare_sequential else 1
        done = share * self._steps * chunk.before + solved
        total = share * self._steps * self.setup.params.count
        stage = f"Round {number}: {self._steps - left} of {self._steps} steps solved"
        self.setup.ctx.progress(done, total, stage)

    def _details(
        self,
        chunk: Chunk,
        index: int,
        picture: PictureState,
        trace: Trace,
        seconds: float,
        interrupted: EngineError | None,
    ) -> dict[str, Any]:
        ctx, rounds = self.setup.ctx, trace.rounds
        stopped = picture.stopped
        if not stopped and interrupted is not None:
            stopped = CANCELLED if interrupted.code is ErrorCode.CANCELLED else FAILED
        name = picture_name(chunk.indices[index])
        common = {"prompt": self.setup.params.prompt, "seed": chunk.seeds[index]}
        figures: dict[str, Any] = {
            "method": self.params.method,
            "order": self.settings.order,
            "window": self.settings.window,
            "memory": self.settings.memory,
            "tolerance": self.settings.tolerance,
            "steps": self._steps,
            "rounds": picture.rounds,
            "evaluations": picture.evaluations,
            "converged": picture.finished == 0,
            "stopped": stopped,
            "finished": picture.finished,
            "finished_per_round": [item.finished for item in rounds],
            "residual": _final_residual(rounds[-1], self.settings) if rounds else None,
            "seconds": round(seconds, 3),
            "pictures": len(chunk.indices),
        }
        self._pictures[chunk.indices[index]] = {"seed": chunk.seeds[index], **figures}
        trace_file = ctx.attach(name, "rounds", trace.to_bytes(), MEDIA_TYPE, common)
        kept = None
        # What was stopped can be gone on with only from its states.
        if self.params.keep_trajectory or stopped == CANCELLED:
            about = self._run_facts(self.setup.params, chunk.seeds[index])
            data = write_trajectory(Trajectory(about, picture))
            kept = ctx.attach(name, "trajectory", data, MEDIA_TYPE, common)
        figures |= {
            "trace": trace_file.to_json(),
            "trajectory": None if kept is None else kept.to_json(),
        }
        sampling = {
            key: figures[key] for key in ("steps", "rounds", "evaluations", "seconds", "pictures")
        }
        computed = self._arithmetic.details(ctx, name, index, self.setup.params)
        finished = picture.finished == 0
        return {"parallel": figures, "sampling": sampling, "converged": finished, **computed}

    # --- comparing --------------------------------------------------------------------------------

    def sequentially(self, chunk: Chunk, index: int) -> Tensor:
        """x_0 ``(1, C, h, w)`` of one picture of a chunk, made one step after another."""
        if self._start is not None and self.params.variation_step is not None:
            start = warm_start(
                self._evaluate, self.system, self._start.picture.states, self.params.variation_step
            )
        else:
            start = cold_start(self.system, *self._flat(chunk, index))
        base = self._steps * (2 * chunk.before + len(chunk.indices) + index)
        total = 2 * self._steps * self.setup.params.count

        def on_step(left: int) -> None:
            done = self._steps - left
            stage = f"For comparison, step {done} of {self._steps}"
            self.setup.ctx.progress(base + done, total, stage)

        noise = self._flat(chunk, index)[1]
        states = solve_sequentially(self._evaluate, self.system, noise, start, on_step)
        return states[:1].view(-1, *self.setup.shape)

    def note_comparison(self, index: int, comparison: Mapping[str, Any]) -> None:
        """Add what a comparison found to the metrics of picture ``index`` of the job."""
        self._pictures[index]["comparison"] = dict(comparison)


def _final_residual(last: Round, settings: ParallelSettings) -> float | None:
    """Largest residual in the last round; of a solved picture's x_0 the update made it zero."""
    sizes = last.residuals[np.isfinite(last.residuals)]
    if last.finished == 0:
        sizes = np.where(sizes > settings.tolerance, 0.0, sizes)
    return float(sizes.max()) if len(sizes) else None
