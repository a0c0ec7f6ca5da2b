"""The network behind parallel sampling: rows of mixed time steps, in chunks, on several devices.

Also what is found out about it first: whether its rows are independent (otherwise the picture would
not be the sequential one), how finely it computes, and whether a batch is cheaper than its parts.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.device import is_out_of_memory, release_memory
from engine.errors import EngineError, ErrorCode
from engine.images.samplers import Denoiser
from engine.images.schedule import TimeGrid

log = logging.getLogger("triptych.images")

Shape = tuple[int, int, int]
PROBE_ROWS = 4
WORTHWHILE_GAIN = 1.5
"""Below it, :attr:`Probe.batch_gain` says that parallel sampling cannot save time here."""

_INDEPENDENT = 1e-4
_NOISE_MARGIN = 20.0
_NUDGE = 5e-4
_LOOKED_AT = PROBE_ROWS // 2
_CHECK_SECONDS = 0.1


@dataclass
class Place:
    """A device with a copy of the network.

    Attributes
    ----------
    denoiser
        Noise prediction there, guidance applied.
    device
        Where its inputs go, for example ``cuda:1``.
    rows
        States at once; halved for good when memory turns out to be short.
    """

    denoiser: Denoiser
    device: str
    rows: int


class RowEvaluator:
    """Evaluates the rows of a round; the result does not depend on chunks and places.

    Parameters
    ----------
    places
        Where; each gets a share of the rows. More than one work at the same time.
    grid
        The steps that row numbers mean.
    shape
        ``(C, h, w)`` of one state.
    check
        Called between chunks, in the caller's thread; may raise to stop.
    """

    def __init__(
        self,
        places: Sequence[Place],
        grid: TimeGrid,
        shape: Shape,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.places = list(places)
        self._timesteps = torch.from_numpy(grid.timesteps)
        self._shape, self._check = shape, check

    def __call__(self, x: Tensor, rows: Tensor) -> Tensor:
        """See :data:`engine.images.parallel.Evaluate`."""
        t = self._timesteps[rows].to(x.dtype)
        if len(self.places) == 1:
            return self._work(self.places[0], x, t, self._check)
        share = math.ceil(len(x) / len(self.places))
        stop = threading.Event()

        def unless_stopped() -> None:
            if stop.is_set():
                raise EngineError(ErrorCode.CANCELLED, "Another part of the round stopped.")

        with ThreadPoolExecutor(len(self.places), thread_name_prefix="rows") as pool:
            jobs = [
                pool.submit(self._work, place, part, times, unless_stopped)
                for place, part, times in zip(self.places, x.split(share), t.split(share), strict=False)
            ]
            try:
                while wait(jobs, _CHECK_SECONDS, FIRST_EXCEPTION).not_done:
                    self._check()
                    if any(job.done() and job.exception() is not None for job in jobs):
                        break
            finally:
                stop.set()
        # The failure itself before those that it stopped.
        failures = [error for job in jobs if (error := job.exception()) is not None]
        for error in sorted(failures, key=lambda e: getattr(e, "code", "") == ErrorCode.CANCELLED):
            raise error
        return torch.cat([job.result() for job in jobs])

    @torch.no_grad()
    def _work(self, place: Place, x: Tensor, t: Tensor, check: Callable[[], None]) -> Tensor:
        done: list[Tensor] = []
        start = 0
        while start < len(x):
            check()
            end = start + place.rows
            try:
                inputs = x[start:end].view(-1, *self._shape).to(place.device)
                eps = place.denoiser(inputs, t[start:end].to(place.device))
            except Exception as error:
                if not is_out_of_memory(error) or place.rows == 1:
                    raise
                shortage = str(error)
            else:
                done.append(eps.flatten(1).to(x))
                start = end
                continue
            # Outside the except clause: the traceback would keep the tensors alive.
            place.rows = max(1, place.rows // 2)
            log.warning("memory was short, %d rows at once from now on: %s", place.rows, shortage)
            release_memory()
        return torch.cat(done)


@dataclass(frozen=True)
class Probe:
    """What a network is like as a part of parallel sampling.

    Attributes
    ----------
    deviation
        Largest RMS difference of a row alone and in a batch, relative to the row's RMS.
    noise
        RMS of the rounding noise of its predictions (they have an RMS of about 1).
    batch_gain
        How many times faster a batch of :data:`PROBE_ROWS` is than as many single rows.
    """

    deviation: float
    noise: float
    batch_gain: float

    @property
    def independent(self) -> bool:
        """Whether rows do not depend on their neighbours, up to rounding."""
        return self.deviation <= max(_INDEPENDENT, _NOISE_MARGIN * self.noise)

    def require_independent(self, model: str) -> None:
        """Raise ``invalid_input`` when the model cannot be sampled in parallel."""
        if not self.independent:
            raise EngineError(
                ErrorCode.INVALID_INPUT,
                f"{model} cannot be sampled in parallel: what it predicts for one state depends on the "
                f"others in the batch (by {self.deviation:.1%}), so the picture would not be the one "
                "that sequential sampling makes. Nothing was started.",
                "Use a sequential sampler, for example ddim.",
            )


@torch.no_grad()
def probe_network(denoiser: Denoiser, grid: TimeGrid, shape: Shape, like: Tensor) -> Probe:
    """Look at a network with a few evaluations, :data:`PROBE_ROWS` + 4 states in all.

    Parameters
    ----------
    denoiser
        Noise prediction with guidance applied.
    grid, shape
        The run's steps and the shape ``(C, h, w)`` of its states.
    like
        A tensor of the states' dtype and device.
    """
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(PROBE_ROWS, *shape, generator=stream).to(like)
    chosen = torch.linspace(0, len(grid) - 1, PROBE_ROWS).round().long()
    t = torch.from_numpy(grid.timesteps)[chosen].to(like)

    def timed(x: Tensor, t: Tensor) -> tuple[Tensor, float]:
        started = time.perf_counter()
        eps = denoiser(x, t)
        # Reading a number waits for the device.
        float(eps.flatten()[0])
        return eps, time.perf_counter() - started

    # A step in the middle: near the ends a prediction hardly depends on what the network computes.
    row, step = x[_LOOKED_AT : _LOOKED_AT + 1], t[_LOOKED_AT : _LOOKED_AT + 1]
    timed(row, step)  # the first call loads kernels
    alone, single_seconds = timed(row, step)
    # A smooth function's second difference vanishes with the nudge; what is left is rounding.
    nudged, twice = (timed(row * (1 + times * _NUDGE), step)[0] for times in (1, 2))
    together, batch_seconds = timed(x, t)
    scale = _rms(alone) or 1.0
    return Probe(
        deviation=_rms(together[_LOOKED_AT] - alone[0]) / scale,
        noise=_rms(twice - 2 * nudged + alone) / math.sqrt(6),
        batch_gain=PROBE_ROWS * single_seconds / max(batch_seconds, 1e-9),
    )


def _rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())
