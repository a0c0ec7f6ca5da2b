"""Millions of boxes on disk: one ``.npy`` file a column, read through the operating system's cache.

A folder of columns is written whole under another name and then renamed, so that it is there or is
not; afterwards nobody writes into it.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import bad_file, invalid_input
from engine.tracks.boxes import Boxes

_EXTRA = "extra."
_FIXED = {
    "frames": "<i8",
    "xywh": "<f4",
    "scores": "<f4",
    "classes": "<i8",
    "tracks": "<i8",
    "cameras": "<i8",
}


def write_columns(folder: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write columns into a new folder: all of them, or nothing.

    Raises
    ------
    EngineError
        ``invalid_input`` when the disk is full or not writable.
    """
    partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir(parents=True)
        for name, column in columns.items():
            with (partial / f"{name}.npy").open("xb") as file:
                np.save(file, np.ascontiguousarray(column), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        partial.rename(folder)
    except OSError as error:
        raise invalid_input(
            f"The boxes could not be written to {folder}: {error.strerror or error}. "
            "What was saved before is kept.",
            "Free some space or choose another folder, then try again.",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_columns(folder: Path) -> dict[str, NDArray[Any]]:
    """All columns of a folder by name, memory-mapped and read-only.

    Raises
    ------
    EngineError
        ``bad_file`` when one is missing, cut off, or no array.
    """
    columns: dict[str, NDArray[Any]] = {}
    try:
        for path in sorted(folder.glob("*.npy")):
            # An array without elements cannot be mapped.
            with path.open("rb") as file:
                version = np.lib.format.read_magic(file)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(file)
            if dtype.hasobject:
                raise ValueError(f"{path.name} holds objects")
            empty = 0 in shape
            columns[path.stem] = (
                np.zeros(shape, dtype) if empty else np.load(path, mmap_mode="r", allow_pickle=False)
            )
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(folder, str(error)) from error
    if not columns:
        raise _damaged(folder, "there are no columns in it")
    return columns


def write_boxes(folder: Path, boxes: Boxes) -> None:
    """Write boxes as a folder of columns (see :func:`write_columns`)."""
    extra = {f"{_EXTRA}{name}": column for name, column in boxes.extra.items()}
    write_columns(folder, {**boxes.columns(), **extra})


def read_boxes(folder: Path, count: int | None = None) -> Boxes:
    """Boxes of a folder, memory-mapped.

    Parameters
    ----------
    folder
        Written by :func:`write_boxes`.
    count
        How many there must be, where that is known.

    Raises
    ------
    EngineError
        ``bad_file`` when the folder is damaged.
    """
    columns = read_columns(folder)
    extra = {
        name.removeprefix(_EXTRA): columns.pop(name)
        for name in list(columns)
        if name.startswith(_EXTRA)
    }
    wrong = [
        name
        for name, dtype in _FIXED.items()
        if name not in columns or columns[name].dtype.str != dtype
    ]
    if wrong or columns.keys() != _FIXED.keys():
        raise _damaged(
            folder, f"columns are missing or of another type: {', '.join(wrong) or 'too many'}"
        )
    lengths = {len(column) for column in (*columns.values(), *extra.values())}
    if (
        len(lengths) > 1
        or columns["xywh"].shape[1:] != (4,)
        or (count is not None and lengths != {count})
    ):
        raise _damaged(folder, f"its columns have {sorted(lengths)} rows, expected {count}")
    return Boxes(**columns, extra=extra)


def _damaged(folder: Path, detail: str) -> Exception:
    return bad_file(
        f"The boxes in {folder} are damaged ({detail}). Nothing was changed.",
        "Restore the scene's folder from a backup, or import the boxes again into a new scene.",
        detail,
    )
