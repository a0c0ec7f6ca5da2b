"""Messages: told once as a toast, kept in the message centre, counted until they are read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from desktop.shell.banners import Banners
from desktop.shell.message_views import TOASTS, MessageCentre, Toasts
from desktop.shell.notifications import KEPT, LEVELS, Notifications
from desktop.theme import Theme


@pytest.fixture
def ground(qtbot: QtBot) -> Iterator[QWidget]:
    """A shown window to float over."""
    result = QWidget()
    qtbot.addWidget(result)
    result.resize(1000, 700)
    result.show()
    yield result
    result.hide()


def texts(widget: QWidget) -> list[str]:
    return [item.text() for item in widget.findChildren(QLabel) if item.text() and item.isVisible()]


def press(widget: QWidget, title: str) -> None:
    (item,) = [b for b in widget.findChildren(QPushButton) if b.text() == title and b.isVisible()]
    item.click()


def test_unread_counts_until_read(qtbot: QtBot, notifications: Notifications) -> None:
    with qtbot.waitSignal(notifications.unread_changed) as unread:
        notifications.post("info", "one")
    assert unread.args == [1]
    notifications.post("error", "two", "why", "do this")
    assert [notice.text for notice in notifications.notices] == ["two", "one"]
    assert notifications.notices[0].copy_text == "two\ndo this\nwhy"
    notifications.mark_read()
    assert notifications.unread == 0
    assert len(notifications.notices) == 2


def test_only_the_last_messages_are_kept(notifications: Notifications) -> None:
    for number in range(KEPT + 10):
        notifications.post("info", str(number))
    assert len(notifications.notices) == KEPT
    assert notifications.notices[0].text == str(KEPT + 9)


@pytest.mark.parametrize("level", LEVELS)
def test_a_toast_of_every_level_fits_its_text(
    qtbot: QtBot, ground: QWidget, theme: Theme, notifications: Notifications, level: str
) -> None:
    toasts = Toasts(ground, theme, notifications)
    notifications.post(level, "What happened. " * 12, "details", "What to do next. " * 6)
    assert toasts.isVisible()
    for label in toasts.findChildren(QLabel):
        if label.text():
            assert label.height() >= label.heightForWidth(label.width())
    assert ground.rect().contains(toasts.geometry())
    toasts.dismiss_all()
    assert not toasts.isVisible()


def test_at_most_three_toasts_and_the_newest(
    ground: QWidget, theme: Theme, notifications: Notifications
) -> None:
    toasts = Toasts(ground, theme, notifications)
    for number in range(5):
        notifications.post("info", f"message {number}")
    assert toasts.count == TOASTS
    shown = texts(toasts)
    assert "message 4" in shown
    assert "message 1" not in shown
    toasts.dismiss_all()


def test_an_action_of_a_toast_runs_and_ends_it(
    ground: QWidget, theme: Theme, notifications: Notifications
) -> None:
    done: list[str] = []
    toasts = Toasts(ground, theme, notifications)
    notifications.post("success", "Done.", actions=[("Show", lambda: done.append("shown"))])
    press(toasts, "Show")
    assert done == ["shown"]
    assert toasts.count == 0


def test_a_toast_leaves_by_itself(
    qtbot: QtBot,
    ground: QWidget,
    theme: Theme,
    notifications: Notifications,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("desktop.shell.message_views.TOAST_MS", dict.fromkeys(LEVELS, 20))
    toasts = Toasts(ground, theme, notifications)
    notifications.post("info", "short")
    qtbot.waitUntil(lambda: toasts.count == 0)


def test_the_centre_lists_all_and_reads_them(
    qtbot: QtBot, ground: QWidget, theme: Theme, notifications: Notifications
) -> None:
    centre = MessageCentre(ground, theme, notifications)
    notifications.post("warning", "first", "the details")
    notifications.post("error", "second")
    centre.open()
    assert notifications.unread == 0
    qtbot.waitUntil(lambda: "second" in texts(centre))
    assert texts(centre).index("second") < texts(centre).index("first")
    press(centre, "Copy details")
    assert QGuiApplication.clipboard().text() == "first\nthe details"
    notifications.post("info", "third")
    qtbot.waitUntil(lambda: "third" in texts(centre))
    assert notifications.unread == 0
    press(centre, "Clear all")
    qtbot.waitUntil(lambda: "There are no messages." in texts(centre))
    with qtbot.waitSignal(centre.closed):
        qtbot.keyClick(centre, Qt.Key.Key_Escape)
    assert not centre.isVisible()


def test_a_banner_asks_once_for_each_key_and_goes_when_answered(
    qtbot: QtBot, ground: QWidget, theme: Theme
) -> None:
    banners = Banners(theme)
    banners.setParent(ground)
    done: list[str] = []
    for text in ("old", "new"):
        banners.ask("key", "warning", text, [("Yes", lambda: done.append("yes")), ("No", list)])
    assert banners.text("key") == "new"
    assert [f.accessibleName() for f in banners.findChildren(QFrame) if f.isVisible()].count("old") == 0
    press(banners, "Yes")
    assert done == ["yes"]
    assert not banners.asks("key")
    assert not banners.isVisible()
