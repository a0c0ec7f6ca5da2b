"""One seed, one picture: inline, in a process of its own, on the command line, from a PNG."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.artifacts import ArtifactStore
from engine.cli import main
from engine.executors import Executor
from engine.executors.inline import InlineExecutor
from engine.executors.process import ProcessExecutor
from engine.job import Failed, JobSpec, Output, is_terminal

pytestmark = pytest.mark.usefixtures("tiny_model")

PARAMS = {
    "model": "tiny",
    "prompt": "red heart",
    "steps": 6,
    "guidance": 3.0,
    "sampler": {"name": "ddpm"},
}


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def run(executor: Executor, store: ArtifactStore, seed: int, **params: Any) -> list[np.ndarray]:
    spec = JobSpec("images.generate", {**PARAMS, **params}, seed=seed, device="cpu")
    job = executor.submit(spec)
    pictures, deadline = [], time.monotonic() + 90
    while time.monotonic() < deadline:
        for event in executor.events(1.0):
            if event.job != job:
                continue
            assert not isinstance(event, Failed), event
            if isinstance(event, Output):
                pictures.append(pixels(store.read(event.artifact)))
            if is_terminal(event):
                return pictures
    pytest.fail("the job did not end")


@pytest.fixture
def reference(tmp_path: Path) -> np.ndarray:
    store = ArtifactStore(tmp_path / "inline")
    executor = InlineExecutor(store)
    try:
        return run(executor, store, 42)[0]
    finally:
        executor.close()


def test_process_makes_the_same_picture_alone_and_in_a_batch(
    tmp_path: Path, reference: np.ndarray
) -> None:
    store = ArtifactStore(tmp_path / "process")
    executor = ProcessExecutor(store.root)
    try:
        np.testing.assert_array_equal(run(executor, store, 42)[0], reference)
        np.testing.assert_array_equal(run(executor, store, 35, count=8)[7], reference)
    finally:
        executor.close()


def test_command_line_makes_the_same_picture_and_again_from_its_file(
    tmp_path: Path, reference: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", "--model", "tiny", "--prompt", "red heart", "--sampler", "ddpm"]
    words += ["--steps", "6", "--guidance", "3", "--seed", "42", "--out", str(tmp_path), "--json"]
    assert main([*words, "--device", "cpu"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    np.testing.assert_array_equal(pixels(Path(file).read_bytes()), reference)

    assert main(["run", file, "--out", str(tmp_path / "again"), "--json"]) == 0
    (again,) = json.loads(capsys.readouterr().out)["files"]
    np.testing.assert_array_equal(pixels(Path(again).read_bytes()), reference)
