"""Files that the user asked for, whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from engine.artifacts import storage_error


def write_whole(target: Path, data: bytes) -> Path:
    """Write a file the user asked for, whole or not at all.

    Raises
    ------
    EngineError
        The target cannot be written (full, read-only).
    """
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, target.parent, "The copy was not saved") from error
    return target
