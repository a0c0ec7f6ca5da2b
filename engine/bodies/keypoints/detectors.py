"""What finds people's keypoints, by name; nothing heavy is imported before one is loaded.

A plug-in adds to :data:`DETECTORS` through the entry-point group ``triptych.keypoint_detector``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from engine.bodies.keypoints.layouts import BLAZEPOSE33, COCO17
from engine.choices import Choice, Options, checked
from engine.registry import Registry

if TYPE_CHECKING:
    from engine.bodies.keypoints.person import Person
    from engine.bodies.keypoints.pictures import Picture


class KeypointDetector(Protocol):
    """Finds the people in a picture.

    Attributes
    ----------
    name, licence
        For people; ``licence`` is the model's.
    layout
        ``blazepose33`` or ``coco17``, of all people it returns.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def licence(self) -> str:
        """Of the model, as far as known."""
        ...

    @property
    def layout(self) -> str:
        """Which keypoint is which."""
        ...

    def detect(self, picture: Picture) -> list[Person]:
        """The people, the surest first; an empty list where there is nobody."""
        ...


class BlazePoseOptions(Options):
    """Settings of the built-in detector."""

    levels: int = Field(
        default=0, ge=0, le=4,
        description="How small people may be: 1 a fifth of the picture and more, 2 a tenth, 3 a "
        "twentieth, 4 a fortieth; 0 chooses by the size of the picture.",
    )  # fmt: skip
    most_people: int = Field(default=32, ge=1, le=1000, description="The surest are kept.")
    threads: int = Field(default=1, ge=1, le=64, description="Of the processor.")


class OnnxOptions(Options):
    """Settings of a detector from an ONNX file."""

    path: str = Field(description="The .onnx file: RTMPose, RTMO, YOLO-pose, or heat maps.")
    boxes: str = Field(
        default="blazepose",
        description="Where models that see one person at a time look: blazepose, picture (all of it), "
        "or another .onnx file that finds people (YOLO).",
    )
    colours: Literal["auto", "unit", "imagenet", "byte"] = Field(
        default="auto",
        description="What the model takes: unit is 0 to 1, byte 0 to 255, imagenet the usual mean and "
        "deviation; auto goes by the kind of model.",
    )
    order: Literal["auto", "rgb", "bgr"] = Field(
        default="auto", description="Of the colours; auto goes by the kind of model."
    )
    least_score: float = Field(default=0.3, ge=0, le=1, description="People below are left out.")
    most_people: int = Field(default=32, ge=1, le=1000, description="The surest are kept.")


class ManualOptions(Options):
    """Settings of keypoints that somebody has set."""

    path: str = Field(description="A JSON file of people: boxes, or keypoints.")


DetectorKind = Choice[KeypointDetector]

DETECTORS: Registry[DetectorKind] = Registry("keypoint detector")

_HERE = "engine.bodies.keypoints"

DETECTORS.add(
    "blazepose",
    DetectorKind(
        "BlazePose (built in)",
        f"Several people; {len(BLAZEPOSE33)} keypoints, a mask, and points in space.",
        f"{_HERE}.blazepose:load",
        BlazePoseOptions,
    ),
)
DETECTORS.add(
    "onnx",
    DetectorKind(
        "ONNX file",
        f"RTMPose, RTMO, YOLO-pose or heat maps from a file of yours; {len(COCO17)} keypoints or "
        f"BlazePose's {len(BLAZEPOSE33)}.",
        f"{_HERE}.onnx_detector:load",
        OnnxOptions,
    ),
)
DETECTORS.add(
    "manual",
    DetectorKind(
        "Set by hand",
        "Keypoints from a JSON file, or boxes in which BlazePose looks.",
        f"{_HERE}.manual:load",
        ManualOptions,
    ),
)


def load_detector(name: str, **options: Any) -> KeypointDetector:
    """A detector by its name in :data:`DETECTORS`.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown name or setting; what loading the model raises.
    """
    kind = DETECTORS.get(name)
    return kind.load(checked(kind.options, options, "detector", name, "Nothing was detected."))
