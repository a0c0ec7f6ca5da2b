"""Adding models to this computer and removing them.

What is added is made in a folder of its own, which takes its name only when everything in it was
checked; whatever happens before, nothing is added. The original is only read.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError, invalid_input
from engine.model_folders import (
    BUILTIN,
    CARDS,
    model_folders,
    models_folder,
    read_about,
    write_about,
)
from engine.model_info import ModelInfo
from engine.model_inspection import (
    find_folder,
    find_model,
    inspect_model,
    list_models,
    recognise,
    relative_name,
    write_checksum_lines,
)
from engine.model_pipelines import (
    INDEX,
    Pipeline,
    is_vae_folder,
    read_pipeline,
    read_vae,
    vae_channels,
)
from engine.model_recognition import (
    DIT_FILE,
    GENERATOR_FILES,
    DiTFile,
    read_dit,
    require_heads,
)
from engine.weight_files import PART, digest_of, remember_digest
from engine.weight_sets import WeightSet, read_shard_names
from engine.weights_conversion import PICKLE_SUFFIXES, convert_checkpoint

log = logging.getLogger("triptych.weights")

NO_VAE = "none"
"""Name that stands for "decode without an autoencoder"."""

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


class _Meter:
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


def add_model(
    path: Path,
    name: str | None = None,
    *,
    num_heads: int | None = None,
    vae: str | None = None,
    licence: str | None = None,
    in_place: bool = False,
    on_progress: OnProgress | None = None,
) -> ModelInfo:
    """Bring a model into the user's folder, converted if need be. The original is only read.

    Parameters
    ----------
    path
        Folder of a generator, of a diffusers pipeline or of a VAE; or a DiT checkpoint
        (``.safetensors``, ``.pt``, ``.pth``, ``.ckpt``, ``.bin``).
    name
        What to call it; by default made from the file name.
    num_heads
        Attention heads of a DiT whose width is not one of the published sizes.
    vae
        Installed VAE that decodes for a latent DiT file; ``none`` for none; by default the first
        that fits.
    licence
        As the user knows it; by default what a model card says.
    in_place
        Copy nothing: remember where the files are. Not for files that have to be converted.
    on_progress
        Told of the bytes copied, converted and checked; may raise to cancel.

    Raises
    ------
    EngineError
        ``bad_file`` when it is no model Triptych knows, ``invalid_input`` when the name is taken or
        the disk is full. Nothing is added then.
    """
    path = Path(path)
    name = _free_name(
        name or re.sub(r"[^A-Za-z0-9._-]+", "-", path.name if path.is_dir() else path.stem)
    )
    try:
        models_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=models_folder()) as made:
            folder = Path(made) / name
            folder.mkdir()
            steps = list(_plan(path))
            about = _describe(path, num_heads, licence)
            if not any(step.convert for step in steps):
                _require_known_heads(path, about)
            meter = _Meter(steps, on_progress)
            if in_place:
                _require_no_conversion(path, steps)
                meter.add(sum(step.size for step in steps))
            else:
                _require_space(path, steps)
                for step in steps:
                    _bring(step, folder, meter)
            root = path.resolve() if in_place else folder
            _require_known_heads(root, about)
            about |= {"in_place": str(root)} if in_place else {}
            chosen = choose_vae(root, vae)
            write_about(folder, about | ({} if chosen is None else {"vae": chosen}))
            digests = _check(root, folder, meter)
            folder.rename(models_folder() / name)
        installed = models_folder() / name
        for relative, digest in digests.items():
            remember_digest(_file_of(path.resolve() if in_place else installed, relative), digest)
    except OSError as error:
        raise invalid_input(
            f"The model was not added, because a file cannot be read or written: {error}.",
            f"Check {path} and the free space and permissions of {models_folder()}.",
        ) from error
    log.info("added the model %s from %s", name, path)
    _serve_waiting(name)
    return find_model(name)


def remove_model(name: str) -> None:
    """Remove a model of the user's; of one added in place, only the memory of where it is.

    Raises
    ------
    EngineError
        ``invalid_input`` for the built-in model, an unknown name, a VAE that others decode with, or
        when the files cannot be removed.
    """
    folder = find_folder(name)
    if name == BUILTIN:
        raise invalid_input(
            "The built-in model belongs to Triptych; it was not removed.", "Remove Triptych instead."
        )
    require_unused(name)
    try:
        # Gone from the lists in one step, also when removing the files is interrupted.
        doomed = folder.with_name(f".removing-{name}")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise invalid_input(
            f"The model {name} was not removed completely: {error}.", f"Check {folder.parent}."
        ) from error
    log.info("removed the model %s", name)


def require_unused(name: str) -> None:
    """Raise ``invalid_input`` when other models are decoded by this one."""
    users = [other for other in model_folders() if other != name and _vae_of(other) == name]
    if users:
        raise invalid_input(
            f"{name} decodes the pictures of {', '.join(users)}; it was not removed.",
            f"Remove {', '.join(users)} first, or choose another autoencoder for them.",
        )


def _describe(path: Path, num_heads: int | None, licence: str | None) -> dict[str, Any]:
    """What ``model.json`` is to say; what the source's own says of this computer is left out."""
    known = read_about(path) if path.is_dir() else {}
    about = {key: value for key, value in known.items() if key not in ("in_place", "vae")}
    given = {"num_heads": num_heads, "licence": licence}
    about |= {key: value for key, value in given.items() if value is not None}
    return {**about, "source": str(path.resolve())}


def _require_known_heads(root: Path, about: dict[str, Any]) -> None:
    """Refuse a DiT file that could not be used: early where it can be read before it is copied."""
    dit = _dit_at(root)
    if dit is not None:
        require_heads(dit, about.get("num_heads"))


def _free_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", name):
        raise invalid_input(
            f"{name!r} cannot be the name of a model; nothing was added.",
            "Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    if name in model_folders() or name in (BUILTIN, NO_VAE):
        raise invalid_input(
            f"There is a model called {name!r} already; nothing was added.", "Choose another name."
        )
    return name


# --- what to bring --------------------------------------------------------------------------------


def _plan(source: Path) -> Iterator[Step]:
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
        for file in (*GENERATOR_FILES, DIT_FILE):
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


def _bring(step: Step, folder: Path, meter: _Meter) -> None:
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


def _require_no_conversion(path: Path, steps: list[Step]) -> None:
    pickles = [step.source.name for step in steps if step.convert]
    if pickles:
        raise invalid_input(
            f"{path.name} cannot be used in place: {', '.join(pickles[:4])} must be converted first. "
            "Nothing was added.",
            "Add it without 'in place'; the original stays as it is.",
        )


def _require_space(path: Path, steps: list[Step]) -> None:
    needed, free = sum(step.size for step in steps), shutil.disk_usage(models_folder()).free
    if needed > free:
        raise invalid_input(
            f"{path.name} has {needed >> 20} MiB, and the disk of {models_folder()} has "
            f"{free >> 20} MiB left; nothing was added.",
            "Make room, or add it in place.",
        )


def _check(root: Path, folder: Path, meter: _Meter) -> dict[str, str]:
    """Recognise what was brought and write its checksums; digests by relative name."""
    found = recognise(root)
    meter.begin("Checking")
    digests = {relative_name(file, found.path): digest_of(file, meter.add) for file in found.files}
    write_checksum_lines(folder, digests)
    return digests


def _file_of(root: Path, relative: str) -> Path:
    return root / relative if root.is_dir() else root


# --- autoencoders ---------------------------------------------------------------------------------


def choose_vae(root: Path, wanted: str | None) -> str | None:
    """Name of the VAE for a model, empty for none; ``None`` where the question does not arise.

    Raises
    ------
    EngineError
        ``invalid_input`` when the wanted one is not installed or does not fit.
    """
    dit = _dit_at(root)
    if dit is None or not dit.is_latent:
        if wanted and wanted != NO_VAE:
            raise invalid_input(
                "Only DiT files that make latents are decoded by a VAE of your choice; nothing was "
                "changed.",
                "Leave the VAE to Triptych.",
            )
        return None
    if wanted == NO_VAE:
        return ""
    fitting = [info.name for info in _vaes() if vae_channels(info.path) == dit.channels]
    if wanted is None:
        return fitting[0] if fitting else ""
    if wanted not in fitting:
        raise invalid_input(
            f"{wanted!r} is not an installed VAE with {dit.channels} latent channels; nothing was "
            "changed.",
            f"Fitting: {', '.join(fitting) or 'none'}.",
        )
    return wanted


def _dit_at(root: Path) -> DiTFile | None:
    """The DiT file that a model is, if it is one."""
    file = root / DIT_FILE if root.is_dir() and (root / DIT_FILE).exists() else root
    return None if file.is_dir() else read_dit(file)


def _vaes() -> list[ModelInfo]:
    return [info for info in list_models() if info.kind == "vae"]


def _vae_of(name: str) -> str:
    """The VAE a model is decoded by; a damaged description names none."""
    try:
        return str(read_about(model_folders()[name]).get("vae") or "")
    except EngineError:
        return ""


def _serve_waiting(name: str) -> None:
    """Let a VAE that was just added decode for the DiT files that had none."""
    added = find_model(name)
    if added.kind != "vae":
        return
    for other, folder in model_folders().items():
        if other in (BUILTIN, name):
            continue
        try:
            info = inspect_model(folder, other)
            about = read_about(folder)
            if (
                info.kind == "dit"
                and not info.vae
                and read_dit(info.path).channels == vae_channels(added.path)
            ):
                write_about(folder, {**about, "vae": name})
                log.info("%s is decoded by %s from now on", other, name)
        except (EngineError, OSError) as error:
            log.warning("The model %s was not given the VAE %s: %s", other, name, error)
