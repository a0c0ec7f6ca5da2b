"""Fixtures of the tests of rewards from other people's models."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.engine.images.rewards.tiny_clip import write_tiny_clip


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP folder, not to be changed."""
    return write_tiny_clip(tmp_path_factory.mktemp("clips") / "tiny")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the network fails the test."""

    def refuse(*arguments: Any) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
