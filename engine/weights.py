"""Weights on disk: find, check, add and read the models of this computer.

A model is a folder. The embedded one is ``resources/weights/builtin``, the user's are below
:func:`models_folder`. There are two kinds::

    triptych-generator    generator.json  transformer.safetensors  autoencoder.safetensors
    dit                   model.safetensors, with the key names of the original DiT program

beside optional files: ``MODEL_CARD.md``, ``model.json`` (title, licence, source, heads) and
``SHA256SUMS`` in the format of the program sha256sum, which :func:`verify_model` compares with.

Nothing is unpickled here; see :mod:`engine.weights_conversion`.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from engine.errors import EngineError, ErrorCode, bad_file, invalid_input
from engine.weights_conversion import PICKLE_SUFFIXES, convert_checkpoint, strip_wrappers

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("triptych.weights")

BUILTIN = "builtin"
BUILTIN_FOLDER = Path(__file__).resolve().parents[1] / "resources" / "weights" / BUILTIN
GENERATOR_FILES = ("generator.json", "autoencoder.safetensors", "transformer.safetensors")
DIT_FILE = "model.safetensors"
CHECKSUMS = "SHA256SUMS"
ABOUT = "model.json"

_EXTRA_FILES = ("MODEL_CARD.md", "LICENSE", ABOUT)
_LISTED_KEYS = 6
_CHUNK = 2**20


@dataclass(frozen=True)
class ModelInfo:
    """A model that is on this computer.

    Attributes
    ----------
    name
        How jobs call it.
    title
        How people call it.
    kind
        ``triptych-generator`` or ``dit``.
    path
        Folder of a generator, file of a DiT.
    sha256
        Of the file; of a generator, of the lines that sha256sum prints for its files.
    size
        Bytes of the weights.
    licence, source
        As far as known.
    num_heads
        Attention heads of a DiT where its file does not tell and its user did.
    """

    name: str
    title: str
    kind: str
    path: Path
    sha256: str
    size: int
    licence: str = ""
    source: str = ""
    num_heads: int | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return {**asdict(self), "path": str(self.path)}


# --- installed models -----------------------------------------------------------------------------


def models_folder() -> Path:
    """Where the user's models are; it may not exist yet."""
    return platformdirs.user_data_path("triptych", appauthor=False) / "models"


def list_models() -> list[ModelInfo]:
    """All usable models, the embedded one first; what is wrong with others is logged."""
    models = []
    for name, folder in _model_folders().items():
        try:
            models.append(inspect_model(folder, name))
        except EngineError as error:
            log.warning("The model %s is left out: %s", name, error)
    return models


def find_model(name: str) -> ModelInfo:
    """The model called ``name``.

    Raises
    ------
    EngineError
        ``invalid_input`` when there is none (naming the nearest), ``missing_weights`` or
        ``bad_file`` when its files are incomplete or damaged.
    """
    folders = _model_folders()
    if name in folders:
        return inspect_model(folders[name], name)
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


def add_model(path: Path, name: str | None = None, *, num_heads: int | None = None) -> ModelInfo:
    """Copy a model into the user's folder, converted if need be. The original is only read.

    Parameters
    ----------
    path
        Folder of a generator, or a DiT checkpoint (``.safetensors``, ``.pt``, ``.pth``, ``.ckpt``,
        ``.bin``).
    name
        What to call it; by default made from the file name.
    num_heads
        Attention heads of a DiT whose width is not one of the published sizes.

    Raises
    ------
    EngineError
        ``bad_file`` when it is no model Triptych knows, ``invalid_input`` when the name is taken or
        the disk is full. Nothing is added then.
    """
    path = Path(path)
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", path.name if path.is_dir() else path.stem)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", name):
        raise invalid_input(
            f"{name!r} cannot be the name of a model; nothing was added.",
            "Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    if name in _model_folders() or name == BUILTIN:
        raise invalid_input(
            f"There is a model called {name!r} already; nothing was added.", "Choose another name."
        )
    try:
        models_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=models_folder()) as made:
            folder = Path(made) / name
            folder.mkdir()
            _copy_model(path, folder)
            about = {**_read_about(folder), "source": str(path.resolve()), "num_heads": num_heads}
            (folder / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
            inspect_model(folder, name)
            write_checksums(folder)
            folder.rename(models_folder() / name)
    except OSError as error:
        raise invalid_input(
            f"The model was not added, because a file cannot be read or written: {error}.",
            f"Check {path} and the free space and permissions of {models_folder()}.",
        ) from error
    log.info("added the model %s from %s", name, path)
    return find_model(name)


def verify_model(name: str) -> ModelInfo:
    """Read all files of a model and compare them with their checksums.

    Raises
    ------
    EngineError
        ``bad_file`` naming the damaged files.
    """
    info = find_model(name)
    folder = info.path if info.path.is_dir() else info.path.parent
    for file in _weight_files(folder):
        if file.suffix == ".safetensors":
            _header(file)
    damaged = []
    for expected, file in _read_checksums(folder):
        try:
            if _digest(file) != expected:
                damaged.append(file.name)
        except OSError:
            damaged.append(file.name)
    if damaged:
        raise bad_file(
            f"The model {name} is damaged: {', '.join(damaged)} is not what was installed. Pictures "
            "made with it may differ from what their settings say.",
            "Install Triptych again." if name == BUILTIN else f"Remove {folder} and add it again.",
        )
    return info


def inspect_model(path: Path, name: str | None = None) -> ModelInfo:
    """What the model at ``path`` is, installed or not.

    Raises
    ------
    EngineError
        ``missing_weights`` when a file is missing, ``bad_file`` when it is no model Triptych knows;
        for a checkpoint of another architecture, with the keys that differ.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and not (path / DIT_FILE).exists():
        about = {**_describe_generator(path), **_read_about(path)}
        files, kind = [path / file for file in GENERATOR_FILES], "triptych-generator"
        lines = "".join(f"{sha256_of(file)}  {file.name}\n" for file in files)
        digest = hashlib.sha256(lines.encode()).hexdigest()
    else:
        about = _read_about(path) if path.is_dir() else {}
        path = path / DIT_FILE if path.is_dir() else path
        files, kind = [path], "dit"
        _require_dit(path)
        digest = sha256_of(path)
    name = name or (folder.name if path in (folder, folder / DIT_FILE) else path.stem)
    card = _read_card(folder)
    return ModelInfo(
        name=name,
        title=str(about.get("title") or card.get("title") or name),
        kind=kind,
        path=path,
        sha256=digest,
        size=sum(file.stat().st_size for file in files),
        licence=str(about.get("licence") or card.get("license") or ""),
        source=str(about.get("source") or ""),
        num_heads=about.get("num_heads"),
    )


def write_checksums(folder: Path) -> Path:
    """Write ``SHA256SUMS`` for the weights in a model's folder."""
    lines = [f"{_digest(file)}  {file.name}\n" for file in _weight_files(folder)]
    target = folder / CHECKSUMS
    target.write_text("".join(lines), encoding="utf-8")
    return target


# --- files ----------------------------------------------------------------------------------------


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a file, on the CPU.

    Raises
    ------
    EngineError
        ``missing_weights`` when the file is not there, ``bad_file`` when it is not safetensors, is
        truncated, or cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    _header(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, str(error)) from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, remembered until its size or time of change differ.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file`` when it cannot be read.
    """
    try:
        state = path.stat()
        stamp = [state.st_size, state.st_mtime_ns]
        known = _remembered.get(path, stamp)
        if known:
            return known
        digest = _digest(path)
    except OSError as error:
        raise _unavailable(path, error) from error
    # A file that was just written may be written again within the clock's resolution.
    if time.time() - state.st_mtime > 2:
        _remembered.put(path, stamp, digest)
    return digest


def explain_mismatch(expected_keys: Iterable[str], found_keys: Iterable[str]) -> str:
    """The difference of two sets of keys in a few words; empty when there is none."""
    expected, found = set(expected_keys), set(found_keys)
    parts = []
    for title, keys in (("missing", expected - found), ("unexpected", found - expected)):
        if keys:
            more = f" and {len(keys) - _LISTED_KEYS} more" if len(keys) > _LISTED_KEYS else ""
            parts.append(f"{title}: {', '.join(sorted(keys)[:_LISTED_KEYS])}{more}")
    return "; ".join(parts)


def official_dit_keys(depth: int) -> set[str]:
    """Names of all tensors of the original program's DiT with ``depth`` blocks."""
    layers = ["x_embedder.proj", "t_embedder.mlp.0", "t_embedder.mlp.2"]
    layers += ["final_layer.adaLN_modulation.1", "final_layer.linear"]
    for block in range(depth):
        parts = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "adaLN_modulation.1")
        layers += [f"blocks.{block}.{part}" for part in parts]
    keys = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    return keys | {"pos_embed", "y_embedder.embedding_table.weight"}


def _require_dit(path: Path) -> None:
    found = set(strip_wrappers(_header(path)))
    blocks = [int(match[1]) for key in found if (match := re.match(r"blocks\.(\d+)\.", key))]
    difference = explain_mismatch(official_dit_keys(max(blocks, default=0) + 1), found)
    if difference:
        raise bad_file(
            f"{path.name} is not a DiT checkpoint that this version can use ({difference}). It was "
            "not loaded.",
            "Triptych knows its own generators and class-conditional DiT checkpoints with the key "
            "names of the original program.",
        )


def _header(path: Path) -> Collection[str]:
    """Keys of a safetensors file that is complete."""
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            start = file.read(9)
        with safe_open(path, framework="numpy") as tensors:
            return list(tensors.keys())
    except OSError as error:
        raise _unavailable(path, error) from error
    except SafetensorError as error:
        raise _unreadable(path, _diagnosis(start, path.stat().st_size), str(error)) from error


def _diagnosis(start: bytes, size: int) -> str:
    """What a file that is not complete safetensors looks like."""
    if not start:
        return "it is empty"
    if start.startswith(b"version h"):
        return "it is only a Git LFS pointer, not the file itself"
    if start.startswith(b"<"):
        return "it is a web page, not the file itself"
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return "it is a PyTorch pickle file with another name; give it its ending .pt back"
    if start[8:9] == b"{" and size > 8:
        return f"its {size} bytes are not complete, or damaged"
    return "it is not a safetensors file"


def _unavailable(path: Path, error: OSError) -> EngineError:
    if isinstance(error, FileNotFoundError):
        return EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"The weights {path.name} are not there; nothing was started.",
            f"Looked for {path}. Add the model again.",
        )
    return _unreadable(path, error.strerror or str(error))


def _unreadable(path: Path, reason: str, detail: str = "") -> EngineError:
    return bad_file(
        f"The weights {path.name} cannot be read: {reason}. Nothing was changed.",
        f"Get the file again and compare its size or checksum ({path}).",
        detail,
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- model folders --------------------------------------------------------------------------------


def _model_folders() -> dict[str, Path]:
    folders = {BUILTIN: BUILTIN_FOLDER} if BUILTIN_FOLDER.is_dir() else {}
    with contextlib.suppress(OSError):
        for folder in sorted(models_folder().iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                folders.setdefault(folder.name, folder)
    return folders


def _copy_model(source: Path, folder: Path) -> None:
    if source.is_dir():
        present = [file for file in (*GENERATOR_FILES, DIT_FILE) if (source / file).exists()]
        for file in (*present, *(extra for extra in _EXTRA_FILES if (source / extra).exists())):
            shutil.copyfile(source / file, folder / file)
    elif source.suffix.lower() in PICKLE_SUFFIXES:
        convert_checkpoint(source, folder / DIT_FILE)
    else:
        _require_dit(source)
        shutil.copyfile(source, folder / DIT_FILE)


def _weight_files(folder: Path) -> list[Path]:
    return [f for name in (*GENERATOR_FILES, DIT_FILE) if (f := folder / name).exists()]


def _read_checksums(folder: Path) -> Iterator[tuple[str, Path]]:
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise bad_file(f"The checksums of {folder.name} cannot be read: {error}.") from error
    for line in lines:
        digest, _, name = line.partition("  ")
        # Only names: a list of checksums must not make us read other places.
        yield digest, folder / Path(name).name


def _describe_generator(folder: Path) -> dict[str, Any]:
    about = _read_object(folder / "generator.json")
    if about.get("format") != "triptych-generator":
        raise bad_file(
            f"{folder.name} is not a Triptych generator; it was not loaded.",
            f"Such a folder has the files {', '.join(GENERATOR_FILES)}.",
        )
    if about.get("version") != 1:
        raise bad_file(
            f"The model {folder.name} was made for a newer Triptych.", "Update Triptych to use it."
        )
    return about


def _read_about(folder: Path) -> dict[str, Any]:
    return _read_object(folder / ABOUT) if (folder / ABOUT).exists() else {}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unavailable(path, error) from error
    except ValueError as error:
        raise _unreadable(path, f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise _unreadable(path, "it is not a JSON object")
    return value


def _read_card(folder: Path) -> dict[str, str]:
    """Title (first heading) and licence (``license:`` line) of a model card."""
    try:
        lines = (folder / "MODEL_CARD.md").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    titles = [line[2:].strip() for line in lines if line.startswith("# ")]
    licences = [line.partition(":")[2].strip() for line in lines if line.startswith("license:")]
    return {"title": titles[0] if titles else "", "license": licences[0] if licences else ""}


class _Checksums:
    """Checksums computed before, also by other processes; losing them costs only time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, list[Any]] | None = None

    def get(self, path: Path, stamp: list[int]) -> str | None:
        """What was put for the same state of the file."""
        with self._lock:
            entry = self._load().get(str(path.resolve()))
        return str(entry[2]) if entry and entry[:2] == stamp else None

    def put(self, path: Path, stamp: list[int], digest: str) -> None:
        """Remember a checksum."""
        with self._lock:
            known = self._load()
            known[str(path.resolve())] = [*stamp, digest]
            file = self._file()
            partial = file.with_suffix(f".{os.getpid()}")
            with contextlib.suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                partial.write_text(json.dumps(known), encoding="utf-8")
                partial.replace(file)

    def _load(self) -> dict[str, list[Any]]:
        if self._known is None:
            self._known = {}
            with contextlib.suppress(OSError, ValueError):
                for path, entry in json.loads(self._file().read_text(encoding="utf-8")).items():
                    if isinstance(entry, list) and len(entry) == 3:
                        self._known[path] = entry
        return self._known

    @staticmethod
    def _file() -> Path:
        return platformdirs.user_cache_path("triptych", appauthor=False) / "checksums.json"


_remembered = _Checksums()
