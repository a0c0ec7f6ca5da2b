"""The log view: every thread's lines, in order, filtered, copied."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from desktop.shell.log_view import KEPT, LogStore, LogView
from desktop.theme import Theme

log = logging.getLogger("triptych.test")


@pytest.fixture
def store(qapp: object) -> Iterator[LogStore]:
    """A store that takes lines for the time of the test."""
    root = logging.getLogger("triptych")
    level = root.level
    root.setLevel(logging.DEBUG)
    result = LogStore()
    result.start()
    yield result
    result.stop()
    root.setLevel(level)


@pytest.fixture
def view(qtbot: QtBot, theme: Theme, store: LogStore) -> LogView:
    result = LogView(theme, store)
    qtbot.addWidget(result)
    return result


def test_lines_of_other_threads_arrive_in_the_windows(qtbot: QtBot, store: LogStore) -> None:
    arrived: list[tuple[str, bool]] = []
    main = threading.get_ident()
    store.arrived.connect(
        lambda lines: arrived.extend((line.text, threading.get_ident() == main) for line in lines)
    )
    thread = threading.Thread(target=lambda: log.warning("from a thread"))
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: arrived == [("from a thread", True)])


def test_earlier_lines_are_shown_once_and_in_order(qtbot: QtBot, theme: Theme, store: LogStore) -> None:
    log.info("one")
    log.info("two")
    view = LogView(theme, store)
    qtbot.addWidget(view)
    log.info("three")
    qtbot.waitUntil(lambda: "three" in view.shown)
    assert [line.split()[-1] for line in view.shown.splitlines()] == ["one", "two", "three"]


def test_levels_and_text_filter(qtbot: QtBot, view: LogView) -> None:
    log.debug("a detail")
    log.info("some news")
    log.error("a problem")
    qtbot.waitUntil(lambda: "a problem" in view.shown)
    assert "a detail" not in view.shown
    view.set_level(logging.DEBUG)
    assert "a detail" in view.shown
    view.set_level(logging.ERROR)
    assert "some news" not in view.shown
    view.set_level(logging.DEBUG)
    view.set_filter("NEWS")
    assert view.shown.count("\n") == 0
    assert "some news" in view.shown
    view.copy()
    assert QGuiApplication.clipboard().text() == view.shown


def test_an_exception_is_shown_with_its_traceback(qtbot: QtBot, view: LogView) -> None:
    try:
        raise ValueError("lost my keys")
    except ValueError:
        log.exception("it failed")
    qtbot.waitUntil(lambda: "ValueError: lost my keys" in view.shown)
    assert "Traceback" in view.shown


def test_a_flood_keeps_the_newest(store: LogStore) -> None:
    for number in range(KEPT + 100):
        log.debug("%d", number)
    lines = store.lines
    assert len(lines) == KEPT
    assert lines[-1].text == str(KEPT + 99)
