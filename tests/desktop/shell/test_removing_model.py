"""Removing models, and bringing them back."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QUndoCommand
from pytestqt.qtbot import QtBot

from desktop.services import Services
from desktop.shell.models_page import ModelsPage
from engine.weights import find_model
from tests.desktop.shell.models_support import install, settle
from tests.desktop.support import WAIT_MS


@pytest.fixture
def page(models_page: ModelsPage) -> ModelsPage:
    return models_page


def test_removing_is_undone_by_button_and_by_key(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services, own_models: Path
) -> None:
    install(qtbot, page, dit)
    qtbot.keyClick(page.table, Qt.Key.Key_Delete)
    settle(qtbot, page)
    assert page.model.names == ["builtin"]
    assert "faces was removed" in page.removed.text.text()
    page.removed.undo.click()
    settle(qtbot, page)
    assert page.model.names == ["builtin", "faces"]
    assert page.removed.isHidden()
    page.table.choose("faces")
    page.remove()
    services.undo.undo()
    services.undo.redo()
    settle(qtbot, page)
    assert page.model.names == ["builtin"]
    assert not page.removed.isHidden()
    services.undo.undo()
    settle(qtbot, page)
    assert find_model("faces").num_heads == 4, "nothing of it was lost"
    assert [folder.name for folder in own_models.iterdir()] == ["faces"]


def test_files_of_removed_models_are_deleted_when_wanted_or_when_the_project_closes(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services, own_models: Path
) -> None:
    install(qtbot, page, dit)
    page.remove()
    settle(qtbot, page)
    page.removed.delete.click()
    settle(qtbot, page)
    assert list(own_models.iterdir()) == []
    services.undo.undo()
    assert "cannot be brought back" in services.notifications.notices[0].text
    assert not services.undo.canUndo()

    install(qtbot, page, dit)
    page.remove()
    assert len(list(own_models.iterdir())) == 1
    with qtbot.waitSignal(page.destroyed, timeout=WAIT_MS):
        page.deleteLater()
    qtbot.waitUntil(lambda: list(own_models.iterdir()) == [], timeout=WAIT_MS)
    assert dit.is_file(), "the original is never touched"


def test_undoing_a_removal_undoes_nothing_else(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    undone: list[str] = []

    class Star(QUndoCommand):
        def undo(self) -> None:
            undone.append("star")

    install(qtbot, page, dit)
    page.remove()
    star = Star("star")
    services.undo.push(star)
    page.removed.undo.click()
    settle(qtbot, page)
    assert "faces" in page.model.names
    assert undone == []
    services.undo.undo()
    services.undo.undo()
    assert undone == ["star"]
    assert not services.undo.canUndo()
    assert "faces" in page.model.names
    assert services.notifications.notices[0].level == "success", "nothing to complain about"


def test_a_model_whose_name_was_taken_is_not_brought_back(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    install(qtbot, page, dit)
    page.remove()
    settle(qtbot, page)
    services.undo.push(QUndoCommand("something else"))
    install(qtbot, page, dit)
    page.removed.undo.click()
    assert "another one has its name" in services.notifications.notices[0].text
    assert page.removed.isHidden()
    assert services.undo.canUndo()
    assert "faces" in page.model.names


def test_removing_a_model_in_place_leaves_its_files(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    before = dit.read_bytes()
    install(qtbot, page, dit, in_place=True)
    page.remove()
    settle(qtbot, page)
    assert "Its files stay" in page.removed.text.text()
    assert not page.removed.delete.isVisible()
    assert dit.read_bytes() == before
    services.undo.undo()
    settle(qtbot, page)
    assert find_model("faces").path == dit
