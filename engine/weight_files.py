"""Files of weights: reading, checksums, and what is wrong with one.

Nothing is unpickled here; see :mod:`engine.weights_conversion`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from engine.errors import EngineError, ErrorCode, bad_file
from engine.weights_conversion import strip_wrappers

if TYPE_CHECKING:
    from torch import Tensor

_LISTED_KEYS = 6


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
    tensor_names(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise unreadable(path, str(error)) from error


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
        digest = digest_of(path)
    except OSError as error:
        raise unavailable(path, error) from error
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


def require_dit(path: Path) -> None:
    """Raise ``bad_file``, naming the keys that differ, unless the file is an official DiT."""
    found = set(strip_wrappers(tensor_names(path)))
    blocks = [int(match[1]) for key in found if (match := re.match(r"blocks\.(\d+)\.", key))]
    difference = explain_mismatch(official_dit_keys(max(blocks, default=0) + 1), found)
    if difference:
        raise bad_file(
            f"{path.name} is not a DiT checkpoint that this version can use ({difference}). It was "
            "not loaded.",
            "Triptych knows its own generators and class-conditional DiT checkpoints with the key "
            "names of the original program.",
        )


def tensor_names(path: Path) -> list[str]:
    """Names of the tensors in a safetensors file that is complete.

    Raises
    ------
    EngineError
        Like :func:`read_safetensors`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            start = file.read(9)
        with safe_open(path, framework="numpy") as tensors:
            return list(tensors.keys())
    except OSError as error:
        raise unavailable(path, error) from error
    except SafetensorError as error:
        raise unreadable(path, _diagnosis(start, path.stat().st_size), str(error)) from error


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


def unavailable(path: Path, error: OSError) -> EngineError:
    """The error for a file that the system does not give us."""
    if isinstance(error, FileNotFoundError):
        return EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"The weights {path.name} are not there; nothing was started.",
            f"Looked for {path}. Add the model again.",
        )
    return unreadable(path, error.strerror or str(error))


def unreadable(path: Path, reason: str, detail: str = "") -> EngineError:
    """The error for a file that is not what it should be."""
    return bad_file(
        f"The weights {path.name} cannot be read: {reason}. Nothing was changed.",
        f"Get the file again and compare its size or checksum ({path}).",
        detail,
    )


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
                stored = json.loads(self._file().read_text(encoding="utf-8"))
                for path, entry in stored.items() if isinstance(stored, dict) else ():
                    if isinstance(entry, list) and len(entry) == 3:
                        self._known[path] = entry
        return self._known

    @staticmethod
    def _file() -> Path:
        return platformdirs.user_cache_path("triptych", appauthor=False) / "checksums.json"


_remembered = _Checksums()
