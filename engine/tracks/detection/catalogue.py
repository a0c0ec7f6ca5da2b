"""What finds things in videos, by name; nothing heavy is imported before one is loaded.

A plug-in adds to :data:`DETECTORS` through the entry-point group ``triptych.track_detector``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from engine.choices import Choice, Options, checked
from engine.registry import Registry

if TYPE_CHECKING:
    from engine.tracks.detection.found import Found
    from engine.video import Frame, VideoFile

TRACK_FILES = (".txt", ".csv", ".json", ".xml")


class Detector(Protocol):
    """Finds things in the frames of videos.

    Attributes
    ----------
    name
        For people.
    class_names
        Of the classes that it returns.
    batch
        How many frames it likes to get at once.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def class_names(self) -> Mapping[int, str]:
        """Of the classes that it returns."""
        ...

    @property
    def batch(self) -> int:
        """How many frames it likes to get at once."""
        ...

    def begin(self, video: VideoFile, camera: str, check: Callable[[], None]) -> None:
        """Prepare for a camera's video; ``check`` is called often and raises to stop."""
        ...

    def detect(self, frames: Sequence[Frame]) -> list[Found]:
        """What is in each of some frames of that video, which come in order."""
        ...


class MovingOptions(Options):
    """Settings of the built-in detector of what moves."""

    least_size: float = Field(
        default=0.02, gt=0, le=0.5,
        description="Side of the smallest thing, as a share of the side of a picture as large.",
    )  # fmt: skip
    side: int = Field(
        default=640, ge=160, le=4096, description="Longer side in pixels at which it looks."
    )
    minutes: float = Field(
        default=3.0,
        gt=0,
        le=120,
        description="How long one background lasts, before it is learnt anew.",
    )


class OnnxOptions(Options):
    """Settings of a detector from an ONNX file."""

    path: str = Field(description="The .onnx file: YOLOX, YOLOv5 to v11, RT-DETR, DETR.")
    layout: str = Field(
        default="auto", description="What its outputs are; auto recognises them by shape and names."
    )
    classes: str = Field(
        default="", description="Names or numbers of the classes that count, separated by commas; all."
    )
    one_class: bool = Field(default=False, description="Treat all of these as one class.")
    least_score: float = Field(default=0.1, ge=0, le=1, description="Boxes below are left out.")
    overlap: float = Field(
        default=0.45,
        ge=0,
        le=1,
        description="Of two boxes that overlap more (IoU) the surer one stays.",
    )
    per_class: bool = Field(default=False, description="Only boxes of one class displace each other.")
    size: int = Field(
        default=0, ge=0, le=4096,
        description="Side of the input in pixels, for models that take any; 0: 640.",
    )  # fmt: skip
    tiles: int = Field(
        default=1, ge=0, le=8,
        description="Also looks at so many by so many parts of the picture; 0 chooses by its size.",
    )  # fmt: skip
    colours: Literal["auto", "unit", "imagenet", "byte"] = Field(
        default="auto",
        description="What the model takes: unit is 0 to 1, byte 0 to 255, imagenet the usual mean and "
        "deviation; auto goes by the layout.",
    )
    order: Literal["auto", "rgb", "bgr"] = Field(
        default="auto", description="Of the colours; auto goes by the layout."
    )
    batch: int = Field(default=4, ge=1, le=256, description="Frames at once.")
    device: str = Field(default="auto", description="cpu, or where there is a GPU: that.")


class ImportedOptions(Options):
    """Settings of boxes from a file."""

    path: str = Field(description="A file or folder of boxes in a format of tracks.")


DetectorKind = Choice[Detector]

DETECTORS: Registry[DetectorKind] = Registry("track detector")

_HERE = "engine.tracks.detection"

DETECTORS.add(
    "moving",
    DetectorKind(
        "What moves (built in)",
        "For cameras that stand still: whatever differs from the background, without its shadow.",
        f"{_HERE}.moving:MovingDetector",
        MovingOptions,
    ),
)
DETECTORS.add(
    "onnx",
    DetectorKind(
        "ONNX file",
        "YOLOX, YOLOv5 to v11, RT-DETR, DETR, or boxes already chosen, from a file of yours.",
        f"{_HERE}.onnx_detector:OnnxDetector",
        OnnxOptions,
    ),
)
DETECTORS.add(
    "boxes",
    DetectorKind(
        "Boxes from a file",
        "Detections that somebody made elsewhere: MOTChallenge, AI City, COCO-VID, CVAT, CSV.",
        f"{_HERE}.imported:ImportedDetector",
        ImportedOptions,
    ),
)


def load_detector(name: str, **options: Any) -> Detector:
    """A detector by its name, or by the path of its file: ``.onnx``, or one of boxes.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown name or wrong settings; what loading it raises.
    """
    suffix = Path(name).suffix.lower()
    if suffix == ".onnx":
        name, options = "onnx", {"path": name, **options}
    elif suffix in TRACK_FILES:
        name, options = "boxes", {"path": name, **options}
    kind = DETECTORS.get(name)
    return kind.load(checked(kind.options, options, "detector", name, "Nothing was detected."))
