"""Fixtures of the image engine's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.images.vocabulary import Vocabulary
from engine.weights import models_folder
from tests.engine.images.tiny import VOCABULARY, write_tiny_dynamic_model, write_tiny_model


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return VOCABULARY


@pytest.fixture(scope="session")
def tiny_model(_own_user_folders: None) -> Path:
    """A 32 px generator installed as ``tiny`` in the tests' own models folder."""
    return write_tiny_model(models_folder() / "tiny")


@pytest.fixture(scope="session")
def tiny_dynamic_model(_own_user_folders: None) -> Path:
    """The same installed as ``tiny-dynamic``, able to compute less."""
    return write_tiny_dynamic_model(models_folder() / "tiny-dynamic")


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """Six pictograms in the files' own format."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (6, 128, 128, 4), dtype=np.uint8)
    images[0, ..., 3] = 0
    codepoints = np.array([str(i) for i in range(6)])
    np.savez(tmp_path / "pictograms128.npz", images=images, codepoints=codepoints)
    np.savez(
        tmp_path / "pictograms64.npz",
        images=images[:, ::2, ::2],
        codepoints=codepoints,
        labels=np.array([0, 0, 1, 1, 2, 2], np.uint8),
        class_names=np.array(["people", "symbols", "objects"]),
        captions=np.array(["man", "man dark skin", "left arrow", "cross", "pen", "pen facing right"]),
        keywords=np.array(["male|guy", "", "arrow", "", "", ""]),
        tone=np.array([0, 5, 0, 0, 0, 0], np.uint8),
        family=np.arange(6, dtype=np.int16),
        weight=np.ones(6, np.float32),
        split=np.array([0, 0, 0, 0, 0, 1], np.uint8),
    )
    return tmp_path
