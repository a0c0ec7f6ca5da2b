"""Runs one job from its specification to its terminal event."""

from __future__ import annotations

import importlib
import json
import logging
import os
import platform
import random
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import engine
from engine import device as devices
from engine.context import ArtifactWriter, RunContext
from engine.errors import EngineError, ErrorCode, bad_file, invalid_input
from engine.job import (
    ArtifactRef,
    Cancelled,
    Event,
    Failed,
    Finished,
    JobSpec,
    Preview,
    Progress,
    Started,
)
from engine.registry import JOBS, JobKind

if TYPE_CHECKING:
    from pydantic import ValidationError

BUILTIN_MODULES = (
    "engine.images.jobs",
    "engine.images.alignment_run",
    "engine.images.rewards.taste_job",
    "engine.bodies.jobs",
    "engine.tracks.detect_job",
    "engine.tracks.track_job",
    "engine.tracks.associate_job",
    "engine.adapt.train_job",
)
"""Modules that register the job kinds of Triptych itself when they are imported."""

PLUGINS_VARIABLE = "TRIPTYCH_PLUGINS"
"""Environment variable: further modules, separated by commas, that register job kinds."""

MAX_ATTEMPTS = 4
"""How often a job is tried when memory is short; handlers use less memory each time."""

log = logging.getLogger("triptych.runner")
_broken_modules: dict[str, str] = {}


class JobStore(ArtifactWriter, Protocol):
    """Where results go and inputs come from; see :class:`engine.artifacts.ArtifactStore`."""

    def path(self, ref: ArtifactRef) -> Path:
        """The file of an artifact."""
        ...

    def verify(self, ref: ArtifactRef) -> bool:
        """Whether the file is there and undamaged."""
        ...


def load_job_modules(modules: Iterable[str] = BUILTIN_MODULES) -> None:
    """Import modules that register job kinds.

    A module that cannot be imported is logged and left out; what it would have offered is missing,
    and everything else works.
    """
    # Before torch comes: its threads that spin while they wait are slow on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for module in modules:
        if module in sys.modules:
            continue
        try:
            importlib.import_module(module)
            _broken_modules.pop(module, None)
        except Exception:
            if module not in _broken_modules:
                log.exception("The module %s cannot be loaded; its jobs are missing.", module)
            _broken_modules[module] = traceback.format_exc()


def plugin_modules(plugins: Sequence[str] = ()) -> list[str]:
    """The given plug-ins and those that the environment variable ``TRIPTYCH_PLUGINS`` names."""
    named = (name.strip() for name in os.environ.get(PLUGINS_VARIABLE, "").split(","))
    return [*plugins, *filter(None, named)]


def run_job(
    spec: JobSpec,
    job_id: str,
    store: JobStore,
    emit: Callable[[Event], None],
    cancel_requested: Callable[[], bool],
    plugins: Sequence[str] = (),
) -> None:
    """Run a job here and now.

    Everything that can go wrong in the job becomes its terminal event, which is emitted exactly
    once and last; only what ``emit`` raises leaves this function.

    Parameters
    ----------
    spec, job_id
        What to run, and the id to put on its events.
    store
        Takes results, gives inputs.
    emit
        Takes the events in order.
    cancel_requested
        Whether the user wants the job to stop; asked often.
    plugins
        Modules to import because they register job kinds.
    """
    terminal: Event
    try:
        terminal = Finished(job_id, _run(spec, job_id, store, emit, cancel_requested, plugins))
    except EngineError as error:
        stopped = error.code is ErrorCode.CANCELLED
        terminal = Cancelled(job_id) if stopped else Failed(job_id, error)
    except BaseException as error:  # also a handler's sys.exit() ends its job, not the engine
        terminal = Failed(job_id, _internal(error))
    emit(terminal)


def _run(
    spec: JobSpec,
    job_id: str,
    store: JobStore,
    emit: Callable[[Event], None],
    cancel_requested: Callable[[], bool],
    plugins: Sequence[str],
) -> dict[str, Any]:
    if cancel_requested():
        raise EngineError(ErrorCode.CANCELLED, "The job was cancelled before it started.")
    kind = _kind(spec.kind, plugins)
    params = _params(kind, spec)
    # Defaults are written out, so that a manifest makes the same result when they have changed.
    spec = replace(spec, params=params.model_dump(mode="json"))
    inputs = {name: _input(name, value, store) for name, value in spec.inputs.items()}
    device = devices.resolve(spec.device)
    provenance = {
        "triptych": engine.__version__,
        "torch": devices.torch_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
        "device_name": devices.device_name(device),
    }
    context = RunContext(job_id, spec, device, _checked(emit), cancel_requested, store, provenance)
    emit(Started(job_id, device))
    while True:
        _seed(spec.seed)
        try:
            metrics = kind.handler(params, inputs, context)
            break
        except Exception as error:
            if not devices.is_out_of_memory(error):
                raise
            shortage = _internal(error).detail
        # Outside the except clause: the traceback would keep the handler's tensors alive.
        _prepare_retry(context, shortage)
    return _plain({"seconds": round(context.seconds, 3), "device": device, **(metrics or {})})


def _prepare_retry(context: RunContext, shortage: str) -> None:
    """Make room for another attempt, or give up."""
    devices.release_memory()
    if context.attempt + 1 >= MAX_ATTEMPTS:
        raise EngineError(
            ErrorCode.OUT_OF_MEMORY,
            f"There was not enough memory on {context.device} for this job, also after "
            f"{context.attempt} attempts with smaller batches. Results finished before are kept.",
            "Ask for a smaller batch or picture, close other programs, or choose another device.",
            shortage,
        )
    context.check()
    context.begin_retry()
    log.warning("out of memory in %s, attempt %d:\n%s", context.job, context.attempt, shortage)
    context.warn(
        "Memory was short; the job was tried again with less at once. This changes how long it "
        "takes, not what it makes."
    )


def _kind(name: str, plugins: Sequence[str]) -> JobKind:
    for modules in (plugin_modules(plugins), BUILTIN_MODULES):
        if name not in JOBS.names():
            load_job_modules(modules)
    try:
        return JOBS.get(name)
    except EngineError as error:
        if not _broken_modules:
            raise
        raise EngineError(
            ErrorCode.INTERNAL,
            f"The job {name!r} is not available, because a part of Triptych could not be loaded: "
            f"{', '.join(_broken_modules)}. Nothing was started.",
            f"{error.hint} Otherwise `triptych doctor` says what is missing; installing Triptych "
            "again repairs it.",
            "\n".join((str(error), *_broken_modules.values())),
        ) from error


def _params(kind: JobKind, spec: JobSpec) -> Any:
    from pydantic import ValidationError

    try:
        return kind.params.model_validate(dict(spec.params))
    except ValidationError as error:
        raise invalid_params(error) from error


def invalid_params(error: ValidationError) -> EngineError:
    """The ``invalid_input`` error for parameters that a job's model refuses, one line a mistake."""
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        place = ".".join(str(part) for part in item["loc"]) or "parameters"
        shown = repr(item["input"])
        given = f" (given: {shown[:80]})" if item["type"] != "missing" else ""
        lines.append(f"{place}: {item['msg']}{given}")
    return invalid_input(
        "The job was not started, because its parameters are not usable: " + "; ".join(lines) + ".",
        "Correct the named values and start it again.",
    )


def _input(name: str, value: ArtifactRef | Path, store: JobStore) -> Path:
    if isinstance(value, Path):
        if not value.exists():
            raise invalid_input(
                f"The input {name!r} is not there: {value}. Nothing was started.",
                "Choose the file again; it may have been moved or renamed.",
            )
        return value
    if not store.verify(value):
        raise bad_file(
            f"The input {name!r} is missing or damaged in the project's store. Nothing was started.",
            "Make or import it again; the other results are not affected.",
            f"sha256 {value.sha256}",
        )
    return store.path(value)


def _seed(seed: int) -> None:
    """Give the global generators a known state.

    Handlers derive their own generators from the spec; this is for libraries that do not ask.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _checked(emit: Callable[[Event], None]) -> Callable[[Event], None]:
    """Make events the same in every executor, whichever number types a handler uses."""

    def checked(event: Event) -> None:
        if isinstance(event, Preview) and event.image.dtype != np.uint8:
            raise TypeError(f"a preview must be uint8, not {event.image.dtype}")
        if isinstance(event, Progress):
            event = replace(event, done=float(event.done), total=float(event.total))
        emit(event)

    return checked


def _plain(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics as they look after a JSON round trip, so that every executor gives the same."""
    plain: dict[str, Any] = json.loads(json.dumps(metrics))
    return plain


def _internal(error: BaseException) -> EngineError:
    """A mistake of ours, with everything a bug report needs in ``detail``."""
    return EngineError(
        ErrorCode.INTERNAL,
        f"The job stopped because of a mistake in Triptych ({type(error).__name__}: {error}). "
        "Results finished before are kept.",
        "Please report it with the details from the log.",
        "".join(traceback.format_exception(error)),
    )
