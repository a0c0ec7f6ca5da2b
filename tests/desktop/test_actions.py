"""The table of actions: one title, one shortcut, one state wherever an action appears."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QStackedWidget, QWidget
from pytestqt.qtbot import QtBot

from desktop.actions import STANDARD, Actions
from desktop.settings import Settings
from desktop.theme import Theme


@pytest.fixture
def pages(qtbot: QtBot) -> QStackedWidget:
    """A shown window with two pages."""
    stack = QStackedWidget()
    stack.addWidget(QWidget())
    stack.addWidget(QWidget())
    qtbot.addWidget(stack)
    stack.show()
    stack.activateWindow()
    qtbot.waitUntil(stack.isActiveWindow)
    return stack


def test_ids_and_default_shortcuts_are_unique() -> None:
    ids = [row.id for row in STANDARD]
    keys = [QKeySequence(row.shortcut).toString() for row in STANDARD if row.shortcut]
    assert len(set(ids)) == len(ids)
    assert len(set(keys)) == len(keys)
    assert all(keys), "every shortcut can be parsed"


def test_an_action_runs_what_was_connected_last(actions: Actions) -> None:
    done: list[str] = []
    actions.connect("page.run", lambda: done.append("first"))
    actions.connect("page.run", lambda: done.append("second"))
    actions.action("page.run").trigger()
    assert done == ["second"]


def test_connecting_an_unknown_action_is_an_error(actions: Actions) -> None:
    with pytest.raises(KeyError, match="is called"):
        actions.connect("no.such", lambda: None)


def test_an_action_without_a_handler_does_nothing(actions: Actions) -> None:
    actions.action("page.run").trigger()


def test_defining_again_keeps_the_first(actions: Actions, qtbot: QtBot) -> None:
    with qtbot.waitSignal(actions.defined) as defined:
        first = actions.define("images.star", "Star", "S", "star", "images", "Keep it")
    assert defined.args == ["images.star"]
    assert actions.define("images.star", "Other") is first
    assert first.text() == "Star"
    assert first.toolTip() == "Keep it (S)"


def test_rows_of_a_workspace_are_its_own_and_the_global_ones(actions: Actions) -> None:
    actions.define("images.star", "Star", workspace="images")
    actions.define("tracks.split", "Split", workspace="tracks")
    ids = {row.id for row in actions.all("images")}
    assert "images.star" in ids
    assert "page.run" in ids
    assert "tracks.split" not in ids
    assert "tracks.split" in {row.id for row in actions.all()}


def test_a_key_belongs_to_the_visible_page(
    qtbot: QtBot, actions: Actions, pages: QStackedWidget
) -> None:
    done: list[str] = []
    for name, page in (("images", pages.widget(0)), ("tracks", pages.widget(1))):
        actions.define(f"{name}.split", "Split", "Ctrl+B", workspace=name)
        actions.connect(f"{name}.split", lambda name=name: done.append(name))
        actions.attach(name, page)
    for index in (0, 1, 0):
        pages.setCurrentIndex(index)
        qtbot.keyClick(pages, Qt.Key.Key_B, Qt.KeyboardModifier.ControlModifier)
    assert done == ["images", "tracks", "images"]


def test_an_action_defined_after_its_page_was_attached_works(
    qtbot: QtBot, actions: Actions, pages: QStackedWidget
) -> None:
    done: list[str] = []
    actions.attach("images", pages.widget(0))
    actions.define("images.late", "Late", "Ctrl+J", workspace="images")
    actions.connect("images.late", lambda: done.append("late"))
    qtbot.keyClick(pages, Qt.Key.Key_J, Qt.KeyboardModifier.ControlModifier)
    assert done == ["late"]


def test_detached_actions_do_nothing(actions: Actions) -> None:
    done: list[str] = []
    actions.define("images.x", "X", workspace="images")
    actions.connect("images.x", lambda: done.append("x"))
    actions.detach(["images"])
    actions.action("images.x").trigger()
    assert done == []


def test_own_shortcuts_are_kept_and_can_be_given_back(
    actions: Actions, settings: Settings, theme: Theme
) -> None:
    actions.set_shortcut("page.run", "F5")
    assert actions.action("page.run").shortcut() == QKeySequence("F5")
    again = Actions(theme, settings)
    assert again.action("page.run").shortcut() == QKeySequence("F5")
    again.set_shortcut("page.run", "Ctrl+Return")
    assert settings.get("shortcuts") == {}


def test_conflicts_are_found_where_both_keys_work(actions: Actions) -> None:
    actions.define("images.a", "A", "Ctrl+J", workspace="images")
    actions.define("tracks.b", "B", "Ctrl+J", workspace="tracks")
    assert actions.conflict("images.a", "Ctrl+J") is None
    taken = actions.conflict("images.a", "Ctrl+Return")
    assert taken is not None
    assert taken.id == "page.run"
    assert actions.conflict("page.run", "Ctrl+J") is not None
    assert actions.conflict("page.run", "") is None
