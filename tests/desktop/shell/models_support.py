"""What the tests of the Models page share besides fixtures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pytestqt.qtbot import QtBot

from desktop.shell.model_desk import Meter, ModelDesk, Offer
from desktop.shell.model_facts import InstalledModel
from desktop.shell.models_model import STATE
from desktop.shell.models_page import ModelsPage
from engine.errors import EngineError, ErrorCode
from engine.model_info import ModelInfo
from tests.desktop.support import WAIT_MS

MakePage = Callable[..., ModelsPage]


def settle(qtbot: QtBot, page: ModelsPage) -> None:
    """Wait until nothing is read, added or checked."""

    def quiet() -> bool:
        busy = (page.background, page.adding.work, page.adding._looking, page.verifying)
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
