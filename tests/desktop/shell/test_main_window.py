"""The frame: pages made when shown, files given to who can use them, keys that reach everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QUndoCommand
from PySide6.QtWidgets import QLabel, QToolButton
from pytestqt.qtbot import QtBot

from desktop.services import Page, Services
from desktop.shell import main_window
from desktop.shell.main_window import MainWindow
from desktop.shell.models_page import ModelsPage
from desktop.shell.rail import TOOLS, WORKSPACES
from desktop.widgets.page_frame import PageFrame
from desktop.widgets.unbuilt_page import BrokenPage, UnbuiltPage


class Notes(Page):
    """A page that takes text files."""

    workspace = "images"
    title = "Images"
    icon = "image"

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.ran = 0
        self.taken: list[Path] = []
        self.used: list[str] = []

    def run_main_action(self) -> None:
        self.ran += 1

    def use_model(self, name: str) -> None:
        self.used.append(name)

    def can_accept(self, paths: Sequence[Path]) -> bool:
        return all(path.suffix == ".txt" for path in paths)

    def accept(self, paths: Sequence[Path]) -> None:
        self.taken += paths


@pytest.fixture
def window(
    qtbot: QtBot, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MainWindow]:
    """A shown window over the test project, with a simple page in the place of Images."""
    monkeypatch.setitem(main_window.PAGES, "images", (__name__, "Notes"))
    result = MainWindow(
        services.settings, services.theme, services.actions, services.notifications, tmp_path
    )
    qtbot.addWidget(result)
    with qtbot.waitSignal(result.painted):
        result.show()
    result.activateWindow()
    qtbot.waitUntil(result.isActiveWindow)
    result.attach(services)
    yield result
    result.detach()
    result.hide()


def notes(window: MainWindow) -> Notes:
    page = window.page_widget("images")
    assert type(page).__name__ == "Notes"
    return page  # type: ignore[return-value]


def test_pages_are_made_when_they_are_first_shown(window: MainWindow) -> None:
    assert set(window._pages) == {"images"}
    for name in (*WORKSPACES, *TOOLS):
        window.show_page(name)
        page = window.current()
        assert page is not None
        assert page.isVisible()
        assert page.workspace == name
    assert set(window._pages) == {*WORKSPACES, *TOOLS}


@pytest.mark.parametrize("name", ["adapt"])
def test_a_workspace_that_is_not_built_says_so_and_has_no_controls(
    window: MainWindow, name: str
) -> None:
    page = window.page_widget(name)
    assert isinstance(page, UnbuiltPage)
    said = " ".join(label.text() for label in page.findChildren(QLabel))
    assert "not built yet in this version" in said
    assert page.findChildren(QToolButton) == []


def test_keys_switch_pages_and_run_the_main_action(qtbot: QtBot, window: MainWindow) -> None:
    control = Qt.KeyboardModifier.ControlModifier
    qtbot.keyClick(window, Qt.Key.Key_2, control)
    assert window.page == "bodies"
    qtbot.keyClick(window, Qt.Key.Key_1, control)
    assert window.page == "images"
    qtbot.keyClick(window, Qt.Key.Key_Return, control)
    assert notes(window).ran == 1


def test_the_rail_is_reachable_by_keyboard_and_named(window: MainWindow, qtbot: QtBot) -> None:
    buttons = window.rail.findChildren(QToolButton)
    assert [button.text() for button in buttons] == [
        "Images", "Bodies", "Tracks", "Adapt", "Models", "Queue", "Settings",
    ]  # fmt: skip
    assert [button.accessibleName() for button in buttons] == [button.text() for button in buttons]
    assert buttons[0].focusPolicy() & Qt.FocusPolicy.TabFocus
    buttons[0].setFocus()
    qtbot.keyClick(buttons[0], Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: window.page == "bodies")
    assert buttons[1].isChecked()
    qtbot.keyClick(buttons[4], Qt.Key.Key_Space)
    assert window.page == "models"


def test_the_page_of_last_time_is_shown_again(window: MainWindow, services: Services) -> None:
    window.show_page("tracks")
    assert services.settings.get("page") == "tracks"


def test_files_go_to_the_page_that_accepts_them(
    window: MainWindow, services: Services, tmp_path: Path
) -> None:
    window.show_page("bodies")
    window.take_files([tmp_path / "a.txt"])
    assert notes(window).taken == [tmp_path / "a.txt"]
    assert window.page == "images"
    window.take_files([tmp_path / "a.xyz"])
    (notice,) = services.notifications.notices
    assert "a.xyz" in notice.text
    assert notice.level == "warning"
    assert notes(window).taken == [tmp_path / "a.txt"]


def test_models_go_to_their_page_and_to_the_workspace_that_uses_them(
    window: MainWindow, tmp_path: Path
) -> None:
    window.show_page("bodies")
    (tmp_path / "xl").mkdir()
    (tmp_path / "xl" / "model_index.json").write_text("{}")
    window.take_files([tmp_path / "xl"])
    page = window.current()
    assert isinstance(page, ModelsPage)
    assert window.page == "models"
    window.take_files([tmp_path / "a.txt"])
    assert window.page == "images", "what others accept is theirs, whichever page is shown"
    assert notes(window).taken == [tmp_path / "a.txt"]
    page.use_wanted.emit("images", "xl")
    assert notes(window).used == ["xl"]


def test_a_page_that_cannot_be_made_does_not_take_the_others_along(
    window: MainWindow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(main_window.PAGES, "bodies", ("desktop.no_such_module", "Page"))
    window.show_page("bodies")
    assert isinstance(window.current(), BrokenPage)
    assert "could not be made" in caplog.text
    window.show_page("images")
    assert window.current() is notes(window)


def test_undo_and_redo_follow_the_projects_stack(
    qtbot: QtBot, window: MainWindow, services: Services
) -> None:
    undo, redo = services.actions.action("edit.undo"), services.actions.action("edit.redo")
    assert not undo.isEnabled()
    services.undo.push(QUndoCommand("star"))
    assert undo.isEnabled()
    qtbot.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not undo.isEnabled()
    assert redo.isEnabled()
    redo.trigger()
    assert services.undo.index() == 1


def test_one_key_switches_the_theme_whatever_the_setting_says(
    window: MainWindow, services: Services
) -> None:
    services.settings.set("theme", "light")
    assert services.theme.dark
    services.actions.action("view.theme").trigger()
    assert not services.theme.dark
    services.actions.action("view.theme").trigger()
    assert services.theme.dark
    assert services.settings.get("theme") == "dark"


def test_floating_panels_close_one_by_one(window: MainWindow, services: Services) -> None:
    for id in ("view.messages", "help.keys", "palette.open"):
        services.actions.action(id).trigger()
    closed = 0
    while window.close_floating():
        closed += 1
    assert closed == 3


def test_toasts_are_not_shown_while_the_message_centre_is_open(
    window: MainWindow, services: Services
) -> None:
    services.actions.action("view.messages").trigger()
    services.notifications.post("info", "one")
    assert window.toasts.count == 0
    services.actions.action("view.messages").trigger()
    services.notifications.post("info", "two")
    assert window.toasts.count == 1
    window.toasts.dismiss_all()


def test_a_projects_pages_go_with_it(window: MainWindow, services: Services) -> None:
    window.show_page("queue")
    window.detach()
    assert window.current() is None
    assert window.start_page.isVisible()
    assert window.windowTitle() == "Triptych"
    window.attach(services)
    assert window.current() is not None


@pytest.mark.parametrize("size", [(960, 600), (1280, 800), (2560, 1440)])
def test_nothing_in_the_status_bar_is_squeezed(
    qtbot: QtBot, window: MainWindow, services: Services, size: tuple[int, int]
) -> None:
    window.resize(*size)
    services.bridge.engine_ready.emit(
        {"device": "cuda:0", "device_name": "A graphics card", "memory_bytes": 24 * 2**30}
    )

    def squeezed() -> list[str]:
        return [
            label.text()
            for label in window.status.findChildren(QLabel)
            if label.isVisible() and label.width() < label.fontMetrics().horizontalAdvance(label.text())
        ]

    qtbot.waitUntil(lambda: squeezed() == [])


def test_the_page_frame_keeps_its_sizes(qtbot: QtBot, services: Services) -> None:
    def make() -> PageFrame:
        frame = PageFrame(services, "images", QLabel("c"), QLabel("s"), QLabel("t"), QLabel("i"))
        qtbot.addWidget(frame)
        frame.resize(1400, 900)
        frame.show()
        return frame

    first = make()
    first._across.setSizes([300, 700, 400])
    first._across.splitterMoved.emit(0, 0)
    sizes = first._across.sizes()
    first.toggle_inspector()
    assert not first.inspector_visible
    second = make()
    assert not second.inspector_visible
    second.toggle_inspector()
    assert second.inspector_visible
    assert second._across.sizes() == pytest.approx(sizes, abs=3)
