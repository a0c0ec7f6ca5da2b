"""The Models page over a models folder of its own, with real files: add, correct, remove, verify."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication, QUndoCommand
from PySide6.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from desktop.services import Services
from desktop.shell.model_desk import Meter, ModelDesk, Offer, Wish
from desktop.shell.model_facts import InstalledModel, Memory, State
from desktop.shell.models_model import COLUMNS, LICENCE, STATE, USED
from desktop.shell.models_page import ModelsPage
from engine.errors import EngineError, ErrorCode, bad_file
from engine.model_info import ModelInfo
from engine.weights import find_model, models_folder
from tests.desktop.shell.model_files import damage, write_dit, write_vae
from tests.desktop.support import WAIT_MS

MakePage = Callable[..., ModelsPage]


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the models of another."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return models_folder()


@pytest.fixture
def make_page(qtbot: QtBot, services: Services) -> Iterator[MakePage]:
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
def page(make_page: MakePage) -> ModelsPage:
    return make_page()


@pytest.fixture
def dit(tmp_path: Path) -> Path:
    """A file whose number of heads must be told."""
    return write_dit(tmp_path / "downloads" / "faces.safetensors")


def settle(qtbot: QtBot, page: ModelsPage) -> None:
    """Wait until nothing is read, added or checked."""

    def quiet() -> bool:
        busy = (page.background, page.adding.work, page.adding._looking, page.checking)
        return not any(item.busy for item in (*busy, page.installing.work, page.installing._looking))

    qtbot.waitUntil(quiet, timeout=WAIT_MS)


def install(qtbot: QtBot, page: ModelsPage, path: Path, **changes: object) -> None:
    """Add a tiny DiT as a user would."""
    page.accept([path])
    settle(qtbot, page)
    page.adding.heads.set_value(4)
    for name, value in changes.items():
        assert name == "in_place"
        page.adding.stay.setChecked(bool(value))
    page.adding.start.click()
    settle(qtbot, page)
    assert page.adding.isHidden(), page.adding.message.text()


def state(page: ModelsPage, name: str) -> str:
    row = page.model.row_of(name)
    assert row is not None
    return str(page.model.index(row, STATE).data())


# --- what is listed -------------------------------------------------------------------------------


def test_only_the_builtin_model_and_what_can_be_added(page: ModelsPage, services: Services) -> None:
    assert page.model.names == ["builtin"]
    assert page._empty.isVisible()
    assert "You can add" in page._empty.text.text()
    assert state(page, "builtin").startswith("Ready")
    chosen = page.chosen()
    assert chosen is not None
    assert chosen.name == "builtin"
    assert not services.actions.action("models.remove").isEnabled(), "it stays"
    assert services.actions.action("models.use").isEnabled()
    assert not page.details.licence.isVisible(), "only the user's models can be described"


def test_all_there_is_to_know_is_said_and_can_be_copied(page: ModelsPage) -> None:
    info = find_model("builtin")
    assert page.details.title.text() == info.title
    assert page.details.digest.text() == info.sha256
    page.details.copy.click()
    assert QGuiApplication.clipboard().text() == info.sha256
    texts = {name: row.text() for name, row in page.details._rows.items() if row.isVisible()}
    assert texts["What it is"] == info.architecture
    assert texts["Files"] == str(info.path)
    assert "this machine has" in texts["Memory"]
    assert "parallel" in texts["Samplers"]
    assert all(row.accessibleName() for row in page.details._rows.values())


def test_a_model_that_cannot_be_used_is_listed_with_the_reason(
    qtbot: QtBot, page: ModelsPage, own_models: Path, services: Services
) -> None:
    (own_models / "broken").mkdir(parents=True)
    (own_models / "broken" / "model.safetensors").write_bytes(b"version https://git-lfs")
    services.actions.action("models.refresh").trigger()
    settle(qtbot, page)
    assert page.model.names == ["builtin", "broken"]
    assert state(page, "broken").startswith("Unusable")
    page.table.choose("broken")
    assert "Git LFS pointer" in page.details.notice.text.text()
    assert page.details.notice.hint.text()
    assert not services.actions.action("models.use").isEnabled()
    assert services.actions.action("models.remove").isEnabled()
    assert not page._empty.isVisible()


# --- adding ---------------------------------------------------------------------------------------


def test_a_refused_file_says_why_and_keeps_what_was_typed(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    heard: list[None] = []
    services.models.changed.connect(lambda: heard.append(None))
    page.accept([dit])
    settle(qtbot, page)
    assert page.adding.name.text() == "faces"
    assert page.adding.name.hasFocus()
    page.adding.name.setText("my-faces")
    qtbot.keyClick(page.adding.name, Qt.Key.Key_Return)
    settle(qtbot, page)
    assert "width 32" in page.adding.message.text()
    assert "heads" in page.adding.hint.text()
    assert page.adding.name.text() == "my-faces"
    assert page.adding.heads.isVisible(), "what was missing can be said now"
    assert page.model.names == ["builtin"]
    assert heard == []
    qtbot.keyClicks(page.adding.heads.box.lineEdit(), "4")
    qtbot.keyClick(page.adding.heads.box.lineEdit(), Qt.Key.Key_Return)
    settle(qtbot, page)
    assert page.adding.isHidden()
    assert page.model.names == ["builtin", "my-faces"]
    assert heard, "who lists models looks again"
    chosen = page.chosen()
    assert chosen is not None
    assert chosen.name == "my-faces", "the new model is shown"
    assert find_model("my-faces").num_heads == 4
    assert services.notifications.notices[0].level == "success"


def test_heads_that_are_no_number_are_not_sent(qtbot: QtBot, page: ModelsPage, dit: Path) -> None:
    page.accept([dit])
    settle(qtbot, page)
    page.adding.heads.box.lineEdit().setText("many")
    page.adding.add()
    assert not page.adding.work.busy
    assert "whole number" in page.adding.message.text()


def test_a_taken_name_gets_a_number(qtbot: QtBot, page: ModelsPage, dit: Path) -> None:
    install(qtbot, page, dit)
    page.accept([dit])
    settle(qtbot, page)
    assert page.adding.name.text() == "faces-2"
    page.adding.name.setText("faces")
    page.adding.heads.set_value(4)
    page.adding.add()
    settle(qtbot, page)
    assert "already" in page.adding.message.text()
    page.adding.give_up.click()
    assert page.adding.isHidden()


def test_a_model_can_stay_where_it_is(
    qtbot: QtBot, page: ModelsPage, dit: Path, own_models: Path
) -> None:
    install(qtbot, page, dit, in_place=True)
    info = find_model("faces")
    assert info.in_place
    assert info.path == dit
    assert not list(own_models.rglob("*.safetensors"))
    assert "where it is" in page.details._rows["From"].text()


def test_pickles_are_always_copied_and_the_reason_is_said(
    qtbot: QtBot, page: ModelsPage, tmp_path: Path
) -> None:
    path = tmp_path / "old.ckpt"
    path.write_bytes(b"x" * 1000)
    page.accept([path])
    settle(qtbot, page)
    assert not page.adding.stay.isEnabled()
    assert "hide programs" in page.adding.room.text()


def test_several_files_are_asked_about_one_by_one(
    qtbot: QtBot, page: ModelsPage, tmp_path: Path
) -> None:
    first, second = write_dit(tmp_path / "a.safetensors"), write_dit(tmp_path / "b.safetensors")
    page.accept([first, second])
    settle(qtbot, page)
    assert page.adding.heading.text() == "Add a.safetensors (1 more after it)"
    page.adding.give_up.click()
    settle(qtbot, page)
    assert page.adding.heading.text() == "Add b.safetensors"


def test_a_file_that_is_gone_is_explained(qtbot: QtBot, page: ModelsPage, tmp_path: Path) -> None:
    page.accept([tmp_path / "gone.safetensors"])
    settle(qtbot, page)
    assert "cannot be read" in page.adding.message.text()


def test_files_and_folders_are_chosen_in_dialogs(
    qtbot: QtBot,
    page: ModelsPage,
    dit: Path,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_a: ([str(dit)], ""))
    services.actions.action("models.add_file").trigger()
    settle(qtbot, page)
    assert page.adding.place.text() == str(dit)
    page.adding.cancel()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_a: str(dit.parent))
    services.actions.action("models.add_folder").trigger()
    settle(qtbot, page)
    assert page.adding.place.text() == str(dit.parent)


class SlowDesk(ModelDesk):
    """Adding reports progress until it is cancelled or let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def add(self, wish: Wish, meter: Meter) -> ModelInfo:
        done = 0.0
        while not self.go.wait(0.02):
            done += 20e6
            meter.report(min(done, 900e6), 1e9, "copying")
        return super().add(wish, meter)


def test_adding_shows_bytes_and_can_be_cancelled(
    qtbot: QtBot, make_page: MakePage, dit: Path, own_models: Path
) -> None:
    page = make_page(SlowDesk())
    page.accept([dit])
    settle(qtbot, page)
    page.adding.name.setText("kept")
    page.adding.start.click()
    assert page.adding.give_up.hasFocus(), "cancelling is one key away"
    qtbot.waitUntil(lambda: "of 1.00 GB" in page.adding.stage.text(), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: "left" in page.adding.stage.text(), timeout=WAIT_MS)
    assert page.adding.bar.value() > 0
    qtbot.keyClick(page.adding.give_up, Qt.Key.Key_Space)
    settle(qtbot, page)
    assert "cancelled" in page.adding.message.text()
    assert page.adding.name.text() == "kept"
    assert not (own_models / "kept").exists()
    assert page.adding.start.isEnabled(), "it can be tried again"


def test_the_page_can_go_while_a_model_is_added(qtbot: QtBot, make_page: MakePage, dit: Path) -> None:
    desk = SlowDesk()
    page = make_page(desk)
    page.accept([dit])
    settle(qtbot, page)
    page.adding.heads.set_value(4)
    page.adding.add()
    with qtbot.waitSignal(page.destroyed, timeout=WAIT_MS):
        page.deleteLater()
    assert not desk.go.is_set(), "it was cancelled, or waiting for it would never end"


# --- removing -------------------------------------------------------------------------------------


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


# --- verifying, describing, using -----------------------------------------------------------------


def test_verifying_says_that_all_is_well_or_what_is_damaged(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    install(qtbot, page, dit)
    verify = services.actions.action("models.verify")
    verify.trigger()
    assert state(page, "faces").startswith("Checking")
    assert not verify.isEnabled()
    settle(qtbot, page)
    assert state(page, "faces").startswith("Verified")
    assert verify.isEnabled()
    services.actions.action("models.refresh").trigger()
    settle(qtbot, page)
    assert state(page, "faces").startswith("Verified"), "that stays true"
    damage(find_model("faces").path)
    verify.trigger()
    settle(qtbot, page)
    assert state(page, "faces").startswith("Damaged")
    assert "model.safetensors is not what was installed" in page.details.notice.text.text()
    assert services.notifications.notices[0].level == "error"


def test_a_licence_is_kept_with_the_model(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    install(qtbot, page, dit)
    field = page.details.licence
    assert field.isVisible()
    field.setFocus()
    qtbot.keyClicks(field, "CC BY-NC 4.0")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    settle(qtbot, page)
    info = find_model("faces")
    assert info.licence == "CC BY-NC 4.0"
    assert info.num_heads == 4, "the rest of the description stays"
    assert page.details.licence.text() == "CC BY-NC 4.0"


def test_a_model_is_used_from_button_key_and_list(
    qtbot: QtBot, page: ModelsPage, services: Services
) -> None:
    wanted: list[tuple[str, str]] = []
    page.use_wanted.connect(lambda *names: wanted.append(names))
    page.use.click()
    page.run_main_action()
    page.table.setFocus()
    qtbot.keyClick(page.table, Qt.Key.Key_Return)
    assert wanted == [("images", "builtin")] * 3


def test_the_folder_is_shown(
    qtbot: QtBot, page: ModelsPage, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    services.actions.action("models.reveal").trigger()
    settle(qtbot, page)
    assert [Path(url.toLocalFile()) for url in opened] == [find_model("builtin").path]


# --- what is missing ------------------------------------------------------------------------------


class ListedDesk(ModelDesk):
    """Lists what a test says; installing an extra is played."""

    def __init__(self, *models: InstalledModel) -> None:
        self.models = list(models)
        self.lines = ["Collecting diffusers", "Successfully installed diffusers-0.36"]
        self.error: EngineError | None = None
        self.waits = False

    def read(self) -> list[InstalledModel]:
        return list(self.models)

    def offer(self, name: str) -> Offer:
        return Offer(name, "folders of diffusers", f"python -m pip install {name}")

    def install(self, name: str, on_line: Callable[[str], None], meter: Meter) -> None:
        for line in self.lines:
            on_line(line)
        while self.waits and not meter.cancelled:
            threading.Event().wait(0.01)
        if meter.cancelled:
            raise EngineError(ErrorCode.CANCELLED, "stopped")
        if self.error is not None:
            raise self.error
        self.models = [
            replace(model, info=replace(model.info, needs=())) if model.info else model
            for model in self.models
        ]


def listed(name: str, **changes: object) -> InstalledModel:
    info = ModelInfo(name, name.title(), "stable-diffusion", Path("/m") / name, "a" * 64, 4_270_000_000)
    return InstalledModel(name, replace(info, **changes))  # type: ignore[arg-type]


@pytest.fixture
def lacking() -> ListedDesk:
    """A model that needs an extra."""
    return ListedDesk(listed("sd", needs=("diffusers",), conditions="text", memory_bytes=1))


def test_an_extra_is_installed_after_its_command_was_shown(
    qtbot: QtBot, make_page: MakePage, lacking: ListedDesk, services: Services
) -> None:
    page = make_page(lacking)
    assert state(page, "sd") == "Incomplete\nneeds diffusers"
    assert not page.use.isEnabled()
    assert "before diffusers is installed" in page.details.notice.text.text()
    panel = page.installing
    assert panel.isVisible()
    assert panel.command.toPlainText() == "python -m pip install diffusers"
    assert "folders of diffusers" in panel.purpose.text()
    heard: list[None] = []
    services.models.changed.connect(lambda: heard.append(None))
    panel.start.click()
    settle(qtbot, page)
    assert panel.output.toPlainText().splitlines() == lacking.lines
    assert heard == [None]
    assert state(page, "sd").startswith("Ready")
    assert page.use.isEnabled()
    assert "diffusers is installed" in services.notifications.notices[0].text


def test_a_failed_installation_says_why_and_can_be_tried_again(
    qtbot: QtBot, make_page: MakePage, lacking: ListedDesk
) -> None:
    lacking.error = bad_file("The extra was not installed: no connection.", "Try again.")
    page = make_page(lacking)
    page.installing.start.click()
    settle(qtbot, page)
    assert "no connection" in page.installing.result.text()
    assert page.installing.hint.text() == "Try again."
    assert page.installing.output.isVisible(), "what pip said can be read"
    assert page.installing.start.isEnabled()
    assert state(page, "sd").startswith("Incomplete")


def test_an_installation_is_cancelled(qtbot: QtBot, make_page: MakePage, lacking: ListedDesk) -> None:
    lacking.waits = True
    page = make_page(lacking)
    page.installing.start.click()
    qtbot.waitUntil(lambda: "Collecting" in page.installing.output.toPlainText(), timeout=WAIT_MS)
    assert not page.installing.start.isVisible()
    page.installing.stop.click()
    settle(qtbot, page)
    assert "cancelled" in page.installing.result.text()


def test_memory_of_the_graphics_card_is_what_counts(
    qtbot: QtBot, make_page: MakePage, services: Services
) -> None:
    page = make_page(ListedDesk(listed("big", memory_bytes=40_000_000_000)))
    page._memory = Memory("this machine", 64_000_000_000, 60_000_000_000)
    page.model.set_memory(page._memory)
    assert state(page, "big").startswith("Ready")
    services.bridge.engine_ready.emit(
        {
            "device": "cuda:0",
            "devices": [{"device": "cuda:0", "name": "A card", "memory_bytes": 24_000_000_000}],
        }
    )
    assert state(page, "big").startswith("Too large")
    assert "A card has only 24.0 GB" in page.details.notice.text.text()


def test_an_autoencoder_is_chosen_for_latents(
    qtbot: QtBot, make_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    vaes = [listed(name, kind="vae", generates=False) for name in ("mse", "ema")]
    page = make_page(ListedDesk(listed("xl", kind="dit", vae="mse", alignment=True), *vaes))
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(
        ModelDesk, "describe", lambda _self, name, licence=None, vae=None: asked.append((name, vae))
    )
    box = page.details.vae
    assert box.isVisible()
    assert [box.itemData(row) for row in range(box.count())] == ["none", "mse", "ema"]
    assert box.currentData() == "mse"
    box.setCurrentIndex(2)
    box.activated.emit(2)
    settle(qtbot, page)
    assert asked == [("xl", "ema")]
    page.table.choose("ema")
    assert not box.isVisible()
    assert not page.use.isEnabled(), "it makes no pictures"


def test_latents_are_decoded_by_the_autoencoder_of_ones_choice(
    qtbot: QtBot, page: ModelsPage, tmp_path: Path, services: Services
) -> None:
    for name in ("ema", "mse"):
        page.accept([write_vae(tmp_path / name)])
        settle(qtbot, page)
        page.adding.add()
        settle(qtbot, page)
        assert page.adding.isHidden(), page.adding.message.text()
    page.accept([write_dit(tmp_path / "latent.safetensors", channels=4)])
    settle(qtbot, page)
    assert page.adding.vae.isVisible(), "with two of them there is a choice"
    page.adding.heads.set_value(4)
    page.adding.vae.setCurrentIndex(page.adding.vae.findData("mse"))
    page.adding.add()
    settle(qtbot, page)
    assert find_model("latent").vae == "mse"
    box = page.details.vae
    assert box.currentData() == "mse"
    for name in ("ema", "none"):
        box.setCurrentIndex(box.findData(name))
        box.activated.emit(box.currentIndex())
        settle(qtbot, page)
        assert find_model("latent").vae == ("" if name == "none" else name)
        assert box.currentData() == name
    page._describe("latent", vae="ema")
    settle(qtbot, page)
    page.table.choose("ema")
    page.remove()
    settle(qtbot, page)
    assert "decodes the pictures of latent" in services.notifications.notices[0].text
    assert "ema" in page.model.names
    assert not services.undo.canUndo()


def test_the_real_offer_names_the_command_and_its_purpose() -> None:
    offer = ModelDesk().offer("diffusers")
    assert "-m pip install" in offer.command
    assert "diffusers" in offer.command
    assert "Stable Diffusion" in offer.purpose


def test_escape_gives_up_what_is_asked(
    qtbot: QtBot, page: ModelsPage, dit: Path, services: Services
) -> None:
    cancelled: list[str] = []
    services.actions.connect("job.cancel", lambda: cancelled.append("job"))
    page.window().addAction(services.actions.action("job.cancel"))
    page.accept([dit])
    settle(qtbot, page)
    qtbot.keyClick(page.adding.name, Qt.Key.Key_Escape)
    assert page.adding.isHidden()
    assert cancelled == [], "one key does one thing"
    page.table.setFocus()
    qtbot.keyClick(page.table, Qt.Key.Key_Escape)
    assert cancelled == ["job"]


def test_states_differ_in_word_and_icon() -> None:
    from desktop.shell.model_facts import STATE_LOOKS
    from desktop.theme import known_icon

    assert set(STATE_LOOKS) == set(State)
    assert len({word for word, _, _ in STATE_LOOKS.values()}) == len(State)
    assert len({icon for _, icon, _ in STATE_LOOKS.values()}) == len(State)
    assert all(known_icon(icon) for _, icon, _ in STATE_LOOKS.values())


def test_a_narrow_table_goes_without_columns_instead_of_squeezing_all(
    qtbot: QtBot, page: ModelsPage
) -> None:
    table = page.table
    for width, hidden in ((884, {LICENCE, USED}), (1204, set())):
        page.window().resize(width, 560)
        qtbot.waitUntil(
            lambda hidden=hidden: (
                {column for column in range(len(COLUMNS)) if table.isColumnHidden(column)} == hidden
            )
        )
        assert all(
            table.columnWidth(column) >= 80
            for column in range(len(COLUMNS))
            if not table.isColumnHidden(column)
        )


@pytest.mark.parametrize("size", [(820, 520), (1204, 730), (2400, 1300)])
def test_no_text_is_cut_off(
    qtbot: QtBot, make_page: MakePage, lacking: ListedDesk, dit: Path, size: tuple[int, int]
) -> None:
    lacking.models.append(InstalledModel("broken", error=bad_file("It is damaged. " * 9, "Remove it.")))
    page = make_page(lacking)
    page.window().resize(*size)
    page.accept([dit])
    settle(qtbot, page)
    page.adding._refuse(bad_file("It is no model that this version knows. " * 4, "Choose another."))

    def cut() -> list[str]:
        labels = [label for label in page.findChildren(QLabel) if label.isVisible() and label.text()]
        return [
            label.text()
            for label in labels
            if label.wordWrap()
            and label.height() < label.heightForWidth(label.width())
            and label.text() != page._empty.text.text()
        ]

    for name in ("sd", "broken"):
        page.table.choose(name)
        qtbot.waitUntil(lambda: cut() == [])


def test_everything_has_a_name_and_is_reached_by_keyboard(
    qtbot: QtBot, page: ModelsPage, dit: Path
) -> None:
    page.accept([dit])
    settle(qtbot, page)
    reached: list[QWidget] = []
    focus = page.adding.name
    focus.setFocus()
    for _ in range(40):
        widget = page.window().focusWidget()
        assert widget is not None
        if widget in reached:
            break
        reached.append(widget)
        qtbot.keyClick(widget, Qt.Key.Key_Tab)
    for wanted in (page.adding.start, page.adding.give_up, page.table, page.details.copy, page.use):
        assert wanted in reached, wanted
    unnamed = [
        widget
        for widget in reached
        if not widget.accessibleName()
        and not getattr(widget, "text", lambda: "")()
        and not widget.toolTip()
    ]
    assert unnamed == []
