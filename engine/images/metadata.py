"""Pictures as PNG files that carry everything that made them.

The manifest travels in an ``iTXt`` chunk with the keyword ``triptych``, as JSON. Other programs
keep or drop it; the pixels are the same either way.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from engine.errors import bad_file

KEYWORD = "triptych"


def write_png(image: NDArray[np.uint8], manifest: Mapping[str, Any]) -> bytes:
    """PNG bytes of an ``(H, W, 3)`` uint8 RGB picture with its manifest inside.

    Equal arguments give equal bytes.
    """
    text = PngImagePlugin.PngInfo()
    text.add_itxt(KEYWORD, json.dumps(manifest, sort_keys=True, ensure_ascii=False))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", pnginfo=text, compress_level=6)
    return buffer.getvalue()


def is_foreign(path: Path) -> bool:
    """Whether a file is a readable picture that carries no manifest."""
    try:
        with Image.open(path) as image:
            image.load()
            return KEYWORD not in image.info
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return False


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest inside a PNG.

    Raises
    ------
    EngineError
        ``bad_file`` when the file is no readable picture, carries no manifest, or a broken one.
    """
    try:
        with Image.open(path) as image:
            image.load()
            text = image.info.get(KEYWORD)
    except FileNotFoundError as error:
        raise bad_file(f"{path.name} is no longer there.", "Was it moved or renamed?") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise bad_file(
            f"{path.name} cannot be read as a picture: {error}.",
            "It may be damaged or not an image at all; nothing was changed.",
        ) from error
    if text is None:
        raise bad_file(
            f"{path.name} carries no Triptych settings.",
            "Only PNG files saved by Triptych do; some programs drop them when they save again.",
        )
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise bad_file(f"The settings inside {path.name} are damaged: {error}.") from error
    if not isinstance(manifest, dict) or "spec" not in manifest:
        raise bad_file(f"The settings inside {path.name} are not those of a Triptych result.")
    return manifest
