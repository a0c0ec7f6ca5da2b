"""Detectors by name: loaded late, with settings that are checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.bodies.keypoints.detectors import DETECTORS, load_detector
from engine.errors import EngineError


def test_lists_and_results_load_nothing_heavy(repository: Path) -> None:
    """The window imports these."""
    code = (
        "import sys, engine.bodies.keypoints.detectors, engine.bodies.keypoints.person;"
        "heavy = {'cv2', 'torch', 'onnxruntime', 'scipy', 'PIL', 'ai_edge_litert', 'av'};"
        "print(*heavy & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_every_detector_says_what_it_is() -> None:
    assert "blazepose" in DETECTORS.names()
    for _, kind in DETECTORS:
        assert kind.title
        assert kind.description.endswith(".")
        for field in kind.options.model_fields.values():
            assert field.description


def test_wrong_names_and_settings_are_refused() -> None:
    with pytest.raises(EngineError, match="no keypoint detector called 'openpose'"):
        load_detector("openpose")
    with pytest.raises(EngineError, match="levels: Input should be less than or equal to 4"):
        load_detector("blazepose", levels=9)
    with pytest.raises(EngineError, match="speed: Extra inputs"):
        load_detector("blazepose", speed=3)


def test_the_built_in_detector_is_loaded_by_its_name() -> None:
    detector = load_detector("blazepose", levels=1, most_people=3)
    assert (detector.layout, detector.licence) == ("blazepose33", "Apache-2.0")
