"""Files of weights: reading, checksums, and what is wrong with one.

Nothing is unpickled here; see :mod:`engine.weights_conversion`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from engine.errors import EngineError, ErrorCode, bad_file

if TYPE_CHECKING:
    from torch import Tensor

PART = 8 << 20
"""Bytes read at once from large files."""

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
    read_heads(path)
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


@dataclass(frozen=True)
class TensorHead:
    """What a file's header says of one tensor; ``dtype`` is safetensors' name, such as ``F16``."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def read_heads(path: Path) -> dict[str, TensorHead]:
    """Names, types and shapes of the tensors in a safetensors file that is complete.

    Reads the file's header only, and needs no torch.

    Raises
    ------
    EngineError
        Like :func:`read_safetensors`.
    """
    return {
        name: TensorHead(entry["dtype"], tuple(entry["shape"]))
        for name, entry in _read_header(path).items()
        if name != "__metadata__"
    }


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself; empty for most. Raises like :func:`read_heads`."""
    return {str(k): str(v) for k, v in (_read_header(path).get("__metadata__") or {}).items()}


def _read_header(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    start, size = b"", 0
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(9)
            # The library checks that header and size of the file agree; the shapes of all types
            # are then read by ourselves, because it gives them only together with an array type.
            with safe_open(path, framework="numpy"):
                file.seek(8)
                header: dict[str, Any] = json.loads(file.read(int.from_bytes(start[:8], "little")))
    except OSError as error:
        raise unavailable(path, error) from error
    except SafetensorError as error:
        raise unreadable(path, _diagnosis(start, size), str(error)) from error
    return header


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


def digest_of(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file, read now; ``on_bytes`` hears of each part and may raise to stop."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(PART):
            digest.update(part)
            if on_bytes:
                on_bytes(len(part))
    return digest.hexdigest()


def remember_digest(path: Path, digest: str) -> None:
    """Let :func:`sha256_of` know the checksum of a file that is not written any more."""
    state = path.stat()
    _remembered.put(path, [state.st_size, state.st_mtime_ns], digest)


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
