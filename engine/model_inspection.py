"""Installed models: find them, say what each is, compare their files with their checksums."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from engine.errors import EngineError, ErrorCode, bad_file, invalid_input
from engine.model_folders import (
    BUILTIN,
    BUILTIN_FOLDER,
    model_folders,
    read_about,
    read_card,
)
from engine.model_info import PARALLEL, SEQUENTIAL, ModelInfo
from engine.model_pipelines import INDEX, class_labels, is_vae_folder, read_pipeline, recognise_folder
from engine.model_recognition import (
    DIT_FILE,
    GENERATOR_FILES,
    Recognised,
    describe_generator,
    explain_foreign,
    read_dit,
    recognise_dit,
    recognise_generator,
)
from engine.weight_files import (
    digest_of,
    read_heads,
    sha256_of,
)

log = logging.getLogger("triptych.weights")

CHECKSUMS = "SHA256SUMS"


# --- installed models -----------------------------------------------------------------------------


def list_models() -> list[ModelInfo]:
    """All usable models, the embedded one first; what is wrong with others is logged."""
    usable, broken = _survey()
    for name, error in broken:
        log.warning("The model %s is left out: %s", name, error)
    return usable


def list_broken() -> list[tuple[str, EngineError]]:
    """Models that cannot be used, by name, each with the reason."""
    return _survey()[1]


def _survey() -> tuple[list[ModelInfo], list[tuple[str, EngineError]]]:
    usable, broken = [], []
    for name, folder in model_folders().items():
        try:
            usable.append(inspect_model(folder, name))
        except EngineError as error:
            broken.append((name, error))
    return usable, broken


def find_model(name: str) -> ModelInfo:
    """The model called ``name``.

    Raises
    ------
    EngineError
        ``invalid_input`` when there is none (naming the nearest), ``missing_weights`` or
        ``bad_file`` when its files are incomplete or damaged.
    """
    return inspect_model(find_folder(name), name)


def find_folder(name: str) -> Path:
    """The folder of the model called ``name``, usable or not; raises like :func:`find_model`."""
    folders = model_folders()
    if name in folders:
        return folders[name]
    if name == BUILTIN:
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            "The built-in model is not in this installation; nothing was started.",
            f"Install Triptych again, or check that {BUILTIN_FOLDER} is there.",
        )
    near = difflib.get_close_matches(name, folders, n=3, cutoff=0.5)
    raise invalid_input(
        f"There is no model called {name!r}; nothing was started.",
        f"{'Did you mean' if near else 'Known'}: {', '.join(near or folders) or 'none'}. "
        "`triptych models add FILE` adds one.",
    )


def class_names(info: ModelInfo) -> tuple[str, ...]:
    """The classes a model can be asked for; empty for one that takes texts only.

    Raises
    ------
    EngineError
        Like :func:`find_model`.
    """
    if info.kind == "dit":
        return tuple(map(str, range(read_dit(info.path).classes)))
    if info.kind == "diffusers-dit":
        pipeline = read_pipeline(info.path)
        count = int(pipeline.parts["transformer"].config["num_embeds_ada_norm"])
        return class_labels(pipeline.index, count)
    if info.kind == "triptych-generator":
        vocabulary = describe_generator(info.path).get("vocabulary") or {}
        return tuple(vocabulary.get("class_names", ()))
    return ()


# --- what is at a path ----------------------------------------------------------------------------


def inspect_model(path: Path, name: str | None = None) -> ModelInfo:
    """What the model at ``path`` is, installed or not. Reads descriptions and headers only.

    Raises
    ------
    EngineError
        ``missing_weights`` when a file is missing, ``bad_file`` when it is no model Triptych knows;
        for a checkpoint of another architecture, with what it is or the keys that differ.
    """
    path = Path(path)
    about = read_about(path) if path.is_dir() else {}
    place = about.get("in_place")
    found = recognise(_original(path, place) if place else path, str(about.get("vae") or ""))
    folder = path if path.is_dir() else path.parent
    card = read_card(found.path if found.path.is_dir() else folder)
    name = name or (path.name if path.is_dir() else path.stem)
    return ModelInfo(
        name=name,
        title=str(about.get("title") or found.title or card.get("title") or name),
        kind=found.kind,
        path=found.path,
        sha256=_digest(found),
        size=sum(file.stat().st_size for file in found.files),
        licence=str(about.get("licence") or found.licence or card.get("license") or ""),
        source=str(about.get("source") or ""),
        num_heads=about.get("num_heads"),
        architecture=found.architecture,
        parameters=found.parameters,
        memory_bytes=found.memory_bytes,
        conditions=found.conditions,
        samplers=(SEQUENTIAL, PARALLEL) if found.generates else (),
        alignment=found.alignment,
        needs=found.needs,
        generates=found.generates,
        in_place=bool(place),
        vae=found.vae,
        dynamic=found.dynamic,
        compute=found.compute,
    )


def recognise(path: Path, vae: str = "") -> Recognised:
    """Tell the kinds apart by what is there; raises like :func:`inspect_model`.

    ``vae`` is the name of the autoencoder that decodes for a latent DiT file.
    """
    if not path.is_dir():
        return recognise_dit(path, vae)
    if (path / INDEX).exists() or is_vae_folder(path):
        return recognise_folder(path)
    if any((path / file).exists() for file in GENERATOR_FILES):
        return recognise_generator(path)
    if (path / DIT_FILE).exists():
        return recognise_dit(path / DIT_FILE, vae)
    raise _unknown_folder(path)


def _original(folder: Path, place: Any) -> Path:
    """Where the files of a model are that was added in place."""
    path = Path(str(place))
    if not path.exists():
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"The files of the model {folder.name} are not at their place any more ({path}); nothing "
            "was started.",
            "Move them back, or remove the model and add it again from where they are now.",
        )
    return path


def _unknown_folder(path: Path) -> EngineError:
    files = sorted(file.name for file in path.glob("*.safetensors"))
    for file in files:
        foreign = explain_foreign(read_heads(path / file))
        if foreign:
            what, hint = foreign
            return bad_file(f"{path.name} cannot be used: {what}. It was not loaded.", hint)
    return bad_file(
        f"{path.name} is not the folder of a model that this version knows; it was not loaded.",
        "Such a folder has model_index.json (a diffusers pipeline), config.json of an AutoencoderKL, "
        "or generator.json. A DiT checkpoint is a file: choose the file itself.",
    )


def _digest(found: Recognised) -> str:
    if found.files == (found.path,):
        return sha256_of(found.path)
    lines = [f"{sha256_of(file)}  {relative_name(file, found.path)}\n" for file in found.files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def relative_name(file: Path, root: Path) -> str:
    """How a file is called in a list of checksums of the model at ``root``."""
    return file.relative_to(root).as_posix() if root.is_dir() else file.name


# --- checksums ------------------------------------------------------------------------------------


def verify_model(
    name: str, on_progress: Callable[[float, float, str], None] | None = None
) -> ModelInfo:
    """Read all files of a model and compare them with their checksums.

    Parameters
    ----------
    name
        An installed model.
    on_progress
        Told of the bytes read, of all bytes, and the stage; may raise to cancel.

    Raises
    ------
    EngineError
        ``bad_file`` naming the damaged files.
    """
    folder = find_folder(name)
    info = inspect_model(folder, name)
    root = info.path if info.path.is_dir() else info.path.parent
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        if on_progress:
            on_progress(min(done, info.size), info.size, "Checking")

    damaged = []
    for expected, relative in _read_checksums(folder):
        try:
            if digest_of(root / relative, count) != expected:
                damaged.append(relative)
        except OSError:
            damaged.append(relative)
    if damaged:
        raise bad_file(
            f"The model {name} is damaged: {', '.join(damaged)} is not what was installed. Pictures "
            "made with it may differ from what their settings say.",
            "Install Triptych again."
            if name == BUILTIN
            else f"Remove it (`triptych models remove {name}`) and add it again.",
        )
    return info


def write_checksums(folder: Path) -> Path:
    """Write ``SHA256SUMS`` for the files of the model in a folder."""
    found = recognise(folder)
    return write_checksum_lines(
        folder, {relative_name(file, folder): digest_of(file) for file in found.files}
    )


def write_checksum_lines(folder: Path, digests: dict[str, str]) -> Path:
    """Write known checksums, by the files' names relative to the model."""
    target = folder / CHECKSUMS
    lines = [f"{digest}  {name}\n" for name, digest in digests.items()]
    target.write_text("".join(lines), encoding="utf-8")
    return target


def _read_checksums(folder: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise bad_file(f"The checksums of {folder.name} cannot be read: {error}.") from error
    for line in lines:
        digest, _, name = line.partition("  ")
        inside = PurePosixPath(name)
        # A list of checksums must not make us read other places.
        if name and not inside.is_absolute() and ".." not in inside.parts:
            yield digest, name
