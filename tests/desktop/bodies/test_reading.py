"""Results that the window cannot show are refused in words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from desktop.bodies.reading import open_result
from engine.bodies.record import Camera, Recovery, write_recoveries
from engine.errors import EngineError


def test_bodies_of_the_users_own_model_are_not_drawn_as_the_built_in(tmp_path: Path) -> None:
    camera = Camera(40, 30, 50.0, (20.0, 15.0), "guess")
    file = tmp_path / "bodies.npz"
    project: Any = SimpleNamespace(
        store=SimpleNamespace(path=lambda artifact: file),
        result=lambda result: SimpleNamespace(artifact=None),
        manifest=lambda result: {},
    )
    for body in ("SMPL-X", "anny"):
        write_recoveries(file, [Recovery("photo.jpg", 40, 30, camera, body, ())])
        if body == "anny":
            assert open_result(project, 1).recoveries[0].body == body
        else:
            with pytest.raises(EngineError, match="your own file of SMPL-X"):
                open_result(project, 1)
