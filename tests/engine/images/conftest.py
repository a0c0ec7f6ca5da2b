"""Fixtures of the image engine's tests."""

from __future__ import annotations

from pathlib import Path

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
