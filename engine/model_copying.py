"""The files that make up a model, and bringing them in: copied, or converted from pickles."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import invalid_input
from engine.model_folders import CARDS, models_folder
from engine.model_inspection import recognise
from engine.model_pipelines import INDEX, Pipeline, is_vae_folder, read_pipeline, read_vae
from engine.model_recognition import DIT_FILE, DYNAMIC_FILE, GENERATOR_FILES, read_dit
from engine.weight_files import PART
from engine.weight_sets import WeightSet, read_shard_names
from engine.weights_conversion import PICKLE_SUFFIXES, convert_checkpoint

OnProgress = Callable[[float, float, str], None]
"""``on_progress(done, total, stage)`` in bytes; may raise to cancel."""


@dataclass(frozen=True)
class Step:
    """One file to bring in: copied, or converted from a pickle."""

    source: Path
    target: str
    convert: bool = False

    @property
    def size(self) -> int:
        """Bytes to read."""
        return self.source.stat().st_size


class Meter:
    """Adds up the bytes of all stages: each is brought in once and read once for its checksum."""

    def __init__(self, steps: list[Step], on_progress: OnProgress | None) -> None:
        self._done, self._total = 0, 2 * sum(step.size for step in steps)
        self._tell = on_progress
        self.stage = ""

    def begin(self, stage: str) -> None:
        """Name what comes next."""
        self.stage = stage
        self.add(0)

    def add(self, count: int) -> None:
        """So many more bytes are done; raises what the caller's function raises."""
        self._done += count
        if self._tell:
            # A converted file may be larger than its original.
            self._tell(min(self._done, self._total), self._total, self.stage)


# --- what to bring --------------------------------------------------------------------------------


def plan_files(source: Path) -> Iterator[Step]:
    """The files that make up a model; raises for what is no model, before anything is copied."""
    if not source.is_dir():
        convert = source.suffix.lower() in PICKLE_SUFFIXES
        if not convert:
            read_dit(source)
        yield Step(source, DIT_FILE, convert)
        return
    if (source / INDEX).exists():
        pipeline = read_pipeline(source)
        yield from _pipeline_steps(pipeline)
    elif is_vae_folder(source):
        part = read_vae(source)
        yield Step(source / "config.json", "config.json")
        assert part.weights is not None, "an autoencoder has weights"
        yield from _weight_steps(part.weights, "")
    else:
        recognise(source)
        for file in (*GENERATOR_FILES, DYNAMIC_FILE, DIT_FILE):
            if (source / file).exists():
                yield Step(source / file, file)
    for extra in (*CARDS, "LICENSE", "LICENSE.md"):
        if (source / extra).is_file():
            yield Step(source / extra, extra)


def _pipeline_steps(pipeline: Pipeline) -> Iterator[Step]:
    yield Step(pipeline.folder / INDEX, INDEX)
    for name, part in pipeline.parts.items():
        weights = part.weights.all_files if part.weights else ()
        for file in part.files():
            if file not in weights:
                yield Step(file, f"{name}/{file.name}")
        if part.weights:
            yield from _weight_steps(part.weights, f"{name}/")


def _weight_steps(weights: WeightSet, prefix: str) -> Iterator[Step]:
    for file in weights.all_files:
        name = _converted(file.name) if weights.pickled else file.name
        yield Step(file, prefix + name, weights.pickled)


def _converted(name: str) -> str:
    """What the safetensors copy of a pickle is called, so that the libraries find it."""
    return re.sub(r"^pytorch_model", "model", re.sub(r"\.bin\b", ".safetensors", name))


# --- bringing it ----------------------------------------------------------------------------------


def bring(step: Step, folder: Path, meter: Meter) -> None:
    """Bring one file into a folder; raises what copying, converting or the meter raise."""
    target = folder / step.target
    target.parent.mkdir(parents=True, exist_ok=True)
    if step.convert and step.source.suffix == ".json":
        meter.begin("Converting")
        target.write_text(json.dumps(_converted_index(step.source)), encoding="utf-8")
        meter.add(step.size)
    elif step.convert:
        meter.begin("Converting")
        convert_checkpoint(step.source, target, on_wait=lambda: meter.add(0))
        meter.add(step.size)
    else:
        meter.begin("Copying")
        copy_file(step.source, target, meter.add)


def copy_file(source: Path, target: Path, on_bytes: Callable[[int], None]) -> None:
    """Copy in parts, telling of each."""
    with source.open("rb") as reader, target.open("wb") as writer:
        while part := reader.read(PART):
            writer.write(part)
            on_bytes(len(part))


def _converted_index(index: Path) -> dict[str, Any]:
    shards = {tensor: _converted(name) for tensor, name in read_shard_names(index).items()}
    return {"metadata": {}, "weight_map": shards}


def require_no_conversion(path: Path, steps: list[Step]) -> None:
    """Raise ``invalid_input`` when some files cannot be used where they are."""
    pickles = [step.source.name for step in steps if step.convert]
    if pickles:
        raise invalid_input(
            f"{path.name} cannot be used in place: {', '.join(pickles[:4])} must be converted first. "
            "Nothing was added.",
            "Add it without 'in place'; the original stays as it is.",
        )


def require_space(path: Path, steps: list[Step]) -> None:
    """Raise ``invalid_input`` when the disk has no room for a copy."""
    needed, free = sum(step.size for step in steps), shutil.disk_usage(models_folder()).free
    if needed > free:
        raise invalid_input(
            f"{path.name} has {needed >> 20} MiB, and the disk of {models_folder()} has "
            f"{free >> 20} MiB left; nothing was added.",
            "Make room, or add it in place.",
        )
