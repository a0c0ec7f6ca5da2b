"""Films made of pictures: H.264 in MP4, which every player and browser shows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
from numpy.typing import NDArray

from engine.errors import bad_file, invalid_input

QUALITY = "18"
"""x264's constant rate factor; nobody sees the loss at 18."""


def write_video(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    options: Mapping[str, str] = MappingProxyType({"crf": QUALITY}),
) -> int:
    """Write frames ``(H, W, 3)`` uint8 RGB, all of one size; returns how many.

    Odd sides lose a pixel, as the format has only even ones. The file appears when it is whole.
    ``options`` are those of x264.

    Raises
    ------
    EngineError
        ``invalid_input`` for no frame, sizes that differ or a rate that is not positive; ``bad_file``
        when it cannot be written. What was there before stays.
    """
    if not fps > 0:
        raise invalid_input(f"A film has more than 0 frames a second, not {fps}; none was written.")
    partial = path.with_name(f".{path.name}.partial.mp4")
    count, size = 0, (0, 0)
    try:
        with av.open(str(partial), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
            stream.options = dict(options)
            stream.pix_fmt = "yuv420p"
            for pixels in frames:
                height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
                if not count:
                    size = stream.height, stream.width = height, width
                if (height, width) != size or not height or not width:
                    raise invalid_input(
                        f"The frames of a film have one size; frame {count} has {pixels.shape}, not "
                        f"{size}. No film was written."
                    )
                cut = np.ascontiguousarray(pixels[:height, :width])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(cut, format="rgb24")))
                count += 1
            if not count:
                raise invalid_input("A film needs a frame; none was written.")
            container.mux(stream.encode(None))
        partial.replace(path)
    except (OSError, av.FFmpegError) as error:
        raise bad_file(
            f"The film {path.name} could not be written; what was there before stays.",
            "Check that the folder is there, may be written, and the disk is not full.",
            str(error),
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return count
