"""Fixtures of the tests of the Models page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from desktop.services import Services
from desktop.shell.model_desk import ModelDesk
from desktop.shell.models_page import ModelsPage
from engine.weights import models_folder
from tests.desktop.shell.model_files import write_dit
from tests.desktop.shell.models_support import ListedDesk, MakePage, listed, settle


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the models of another."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return models_folder()


@pytest.fixture
def make_models_page(qtbot: QtBot, services: Services, own_models: Path) -> Iterator[MakePage]:
    """Show a page in a window and wait until it has read the models."""
    ground = QWidget()
    qtbot.addWidget(ground)
    layout = QVBoxLayout(ground)
    ground.resize(1200, 700)

    def make(desk: ModelDesk | None = None) -> ModelsPage:
        page = ModelsPage(services, desk)
        layout.addWidget(page)
        services.actions.attach("models", page)
        ground.show()
        ground.activateWindow()
        settle(qtbot, page)
        return page

    yield make
    ground.hide()


@pytest.fixture
def models_page(make_models_page: MakePage) -> ModelsPage:
    """The page over an empty models folder."""
    return make_models_page()


@pytest.fixture
def dit(tmp_path: Path) -> Path:
    """A file whose number of heads must be told."""
    return write_dit(tmp_path / "downloads" / "faces.safetensors")


@pytest.fixture
def lacking() -> ListedDesk:
    """A model that needs an extra."""
    return ListedDesk(listed("sd", needs=("diffusers",), conditions="text", memory_bytes=1))
