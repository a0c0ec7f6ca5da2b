"""BlazePose's model files: fetched once from the mediapipe wheel, checked, and found again.

``python -m engine.bodies.keypoints.blazepose_files`` fetches them. The wheel is neither installed nor
imported; two model files and its licence are taken out of it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from engine import child
from engine.errors import EngineError, ErrorCode, bad_file
from engine.model_folders import models_folder
from engine.weight_files import digest_of

DETECTOR, LANDMARKS = "pose_detection.tflite", "pose_landmark_full.tflite"
VERSION = "0.10.14"
WHEEL_SHA256 = "a807328339e7356fda0bb14df12fedbf1d33bdf81649c5f8666b0026b1cc30b4"

_INSIDE = {
    DETECTOR: (
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    LANDMARKS: (
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
    "LICENSE": (
        f"mediapipe-{VERSION}.dist-info/LICENSE",
        "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8",
    ),
}

_CARD = f"""# BlazePose (detector and full-body landmarks)
license: Apache-2.0

Taken unchanged from the wheel mediapipe {VERSION} (Copyright The MediaPipe Authors), whose licence file
lies beside this one; it names no other licence for the models. 33 keypoints, a mask, and world points
of each person. Not for identifying people.
"""
_HOW = "Run: python -m engine.bodies.keypoints.blazepose_files"


def blazepose_folder() -> Path:
    """Where the files are, or will be: beside the folder of the models that make pictures."""
    return models_folder().with_name("keypoint-models") / "blazepose"


def find_file(name: str) -> Path:
    """One of the model files, with its checksum compared.

    Raises
    ------
    EngineError
        ``missing_weights`` when it was not fetched, ``bad_file`` when it is damaged.
    """
    path = blazepose_folder() / name
    if not path.is_file():
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"The BlazePose model {name} is not on this computer; nothing was detected.",
            f"{_HOW} (fetches 36 MB once). Looked for {path}.",
        )
    if digest_of(path) != _INSIDE[name][1]:
        raise bad_file(f"The BlazePose model {name} is damaged; nothing was detected.", _HOW)
    return path


def fetch() -> Path:
    """Download the wheel, verify it, and put the model files into the user's folder; that folder.

    Raises
    ------
    EngineError
        ``missing_weights`` when the package index gives no such wheel, ``bad_file`` when what it
        gives is another; files from before stay as they are.
    """
    with tempfile.TemporaryDirectory() as place:
        # One wheel for every computer, so that one checksum serves: only data is taken out of it.
        command = [
            sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
            "--python-version", "3.11", "--platform", "manylinux_2_17_x86_64", "--no-input",
            "--disable-pip-version-check", "--dest", place, f"mediapipe=={VERSION}",
        ]  # fmt: skip
        done = subprocess.run(
            command, env=child.environment(), capture_output=True, text=True, check=False
        )
        wheels = list(Path(place).glob("*.whl"))
        if done.returncode or not wheels:
            raise EngineError(
                ErrorCode.MISSING_WEIGHTS,
                "The BlazePose models were not fetched: pip could not download the mediapipe wheel. "
                "Nothing was changed.",
                "Try again with a connection to the package index.",
                done.stderr[-4000:],
            )
        return extract(wheels[0])


def extract(wheel: Path) -> Path:
    """Take the model files out of a mediapipe wheel on disk; raises like :func:`fetch`."""
    if digest_of(wheel) != WHEEL_SHA256:
        raise bad_file(
            f"{wheel.name} is not the mediapipe wheel that was checked; nothing was taken from it.",
            f"It has to be mediapipe {VERSION} for Python 3.11 on Linux x86-64.",
        )
    folder = blazepose_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name, (inside, expected) in _INSIDE.items():
            data = archive.read(inside)
            if hashlib.sha256(data).hexdigest() != expected:
                raise bad_file(f"{inside} in {wheel.name} is not the file that was checked.")
            partial = folder / f".{name}"
            partial.write_bytes(data)
            partial.replace(folder / name)
    (folder / "MODEL_CARD.md").write_text(_CARD, encoding="utf-8")
    return folder


def main() -> int:
    """Fetch, and say where the files are."""
    try:
        sys.stdout.write(f"{fetch()}\n")
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
