"""Settings work at once, and shortcuts cannot be taken twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QComboBox, QPushButton
from pytestqt.qtbot import QtBot

from desktop.services import Services
from desktop.shell.preferences import PreferencesPage


@pytest.fixture
def page(qtbot: QtBot, services: Services, tmp_path: Path) -> PreferencesPage:
    result = PreferencesPage(services, tmp_path)
    qtbot.addWidget(result)
    return result


def box(page: PreferencesPage, name: str) -> QComboBox:
    (found,) = [item for item in page.findChildren(QComboBox) if item.accessibleName() == name]
    return found


def choose(item: QComboBox, value: object) -> None:
    item.setCurrentIndex(item.findData(value))
    item.activated.emit(item.currentIndex())


def test_choices_are_kept(page: PreferencesPage, services: Services) -> None:
    (dark,) = [b for b in page.findChildren(QPushButton) if b.text() == "Dark"]
    dark.click()
    assert services.settings.get("theme") == "dark"
    choose(box(page, "Most previews shown"), 5)
    assert services.settings.get("preview_hz") == 5


def test_a_theme_chosen_elsewhere_is_shown(page: PreferencesPage, services: Services) -> None:
    services.settings.set("theme", "light")
    (light,) = [b for b in page.findChildren(QPushButton) if b.text() == "Light"]
    assert light.isChecked()


def test_devices_are_those_of_the_engine(page: PreferencesPage, services: Services) -> None:
    services.settings.set("device", "cuda:7")
    services.bridge.engine_ready.emit(
        {
            "device": "cpu",
            "device_name": "A processor",
            "devices": [{"device": "cpu", "name": "A processor", "memory_bytes": 1}],
        }
    )
    device = box(page, "Device for new jobs")
    values = [device.itemData(index) for index in range(device.count())]
    assert values == ["auto", "cpu", "cuda:7"]
    assert device.currentData() == "cuda:7"
    assert "not on this machine" in device.currentText()


def test_a_shortcut_is_changed_refused_and_reset(page: PreferencesPage, services: Services) -> None:
    actions = services.actions
    editor = page._editors["page.run"]
    editor.setKeySequence(QKeySequence("F5"))
    editor.editingFinished.emit()
    assert actions.action("page.run").shortcut() == QKeySequence("F5")
    editor.setKeySequence(QKeySequence("Ctrl+K"))
    editor.editingFinished.emit()
    assert actions.action("page.run").shortcut() == QKeySequence("F5")
    assert "Find an action" in page._keys_said.text()
    assert editor.keySequence() == QKeySequence("F5")
    actions.set_shortcut("page.run", "Ctrl+Return")
    assert editor.keySequence() == QKeySequence("Ctrl+Return")


def test_actions_defined_later_are_listed(page: PreferencesPage, services: Services) -> None:
    services.actions.define("tracks.split", "Split", "Ctrl+B", workspace="tracks")
    assert page._editors["tracks.split"].accessibleName() == "Keys for Tracks: Split"
