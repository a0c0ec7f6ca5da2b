"""Images for detectors: decoded within limits, upright, and no larger than detection needs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from engine.errors import EngineError, bad_file, invalid_input

Pixels = NDArray[np.uint8]

WORKING_SIDE = 4096
"""Longest side, in pixels, that detectors see; larger images are scaled down."""

MOST_PIXELS = 150_000_000
"""Images with more are refused before they are decoded."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as detectors take it.

    Attributes
    ----------
    pixels
        ``(h, w, 3)`` uint8, RGB, upright; at most :data:`WORKING_SIDE` pixels long.
    width, height
        Of the original image after its EXIF orientation; keypoints are in its pixels.
    """

    pixels: Pixels
    width: int
    height: int

    @property
    def scale(self) -> NDArray[np.float64]:
        """Original pixels for one of ``pixels``, in x and in y, ``(2,)``."""
        return np.array([self.width / self.pixels.shape[1], self.height / self.pixels.shape[0]])


def as_picture(pixels: Pixels) -> Picture:
    """An array ``(h, w, 3)`` uint8 RGB, such as a frame of a video, as a picture.

    Raises
    ------
    EngineError
        ``invalid_input`` for other shapes or types.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise invalid_input(
            f"An image of shape {pixels.shape} and type {pixels.dtype} cannot be looked at.",
            "Give RGB as 8-bit numbers of shape (height, width, 3).",
        )
    height, width = pixels.shape[:2]
    factor = WORKING_SIDE / max(height, width)
    if factor < 1:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Picture(pixels, width, height)


def read_picture(path: Path) -> Picture:
    """The image in a file, upright by its EXIF orientation.

    Transparent parts become grey; 16-bit greys are scaled to 8 bits.

    Raises
    ------
    EngineError
        ``bad_file`` when it is not there, no image, damaged, cut off or animated, or has more than
        :data:`MOST_PIXELS`.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; the limit here is our own, and is checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _decoded(image, path)
    except FileNotFoundError as error:
        raise bad_file(
            f"The image {path.name} is not there; nothing was detected.", f"Looked for {path}."
        ) from error
    except UnidentifiedImageError as error:
        raise bad_file(
            f"The file {path.name} is not an image that can be read; nothing was detected.",
            "Use JPEG, PNG, WebP, TIFF or BMP.",
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except EngineError:
        raise
    except (OSError, SyntaxError, ValueError, MemoryError) as error:  # what Pillow's readers raise
        raise bad_file(
            f"The image {path.name} is damaged or cut off; nothing was detected.",
            "Get the file again.",
            str(error),
        ) from error


def _decoded(image: Image.Image, path: Path) -> Picture:
    if getattr(image, "n_frames", 1) > 1:
        raise bad_file(
            f"The file {path.name} is animated (or has several pages): {image.n_frames}. Nothing "  # type: ignore[attr-defined]
            "was detected.",
            "Save one of them as an image, or open it as a video.",
        )
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(path)
    turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    width, height = image.size[::-1] if turned else image.size
    # A JPEG can be decoded at an eighth of its size and upwards, which saves time and memory.
    image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
    image.load()
    factor = WORKING_SIDE / max(image.size)
    upright = ImageOps.exif_transpose(_rgb(image))
    if factor < 1:
        size = (max(1, round(upright.width * factor)), max(1, round(upright.height * factor)))
        upright = upright.resize(size, Image.Resampling.BOX)
    return Picture(np.asarray(upright, np.uint8), width, height)


def _rgb(image: Image.Image) -> Image.Image:
    exif = image.getexif()
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.clip(np.asarray(image, np.float32) / 257, 0, 255).astype(np.uint8)
        made = Image.fromarray(grey).convert("RGB")
    elif image.has_transparency_data:
        seen = image.convert("RGBA")
        made = Image.alpha_composite(Image.new("RGBA", seen.size, (128, 128, 128)), seen).convert("RGB")
    else:
        made = image.convert("RGB")
    # The orientation is applied afterwards, from the EXIF data of the result.
    made.info["exif"] = exif.tobytes() if exif else b""
    return made


def _too_large(path: Path) -> EngineError:
    return bad_file(
        f"The image {path.name} has more than {MOST_PIXELS // 1_000_000} megapixels; it was not "
        "decoded.",
        "Scale it down, or cut out the part with the people.",
    )
