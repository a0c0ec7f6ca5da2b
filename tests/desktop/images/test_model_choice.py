"""Which model is used, chosen here or on the Models page, and what of the form means nothing to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from desktop.images.catalogue import Catalogue, ModelEntry
from desktop.images.controls import unused_fields
from desktop.images.page import ImagesPage
from desktop.services import Services
from tests.desktop.support import WAIT_MS

WORDS = ModelEntry("builtin", "Built-in", conditions="words")
CLASSES = ModelEntry("dit", "DiT", None, ("0", "1"), conditions="class")
TEXT = ModelEntry("sd", "Stable Diffusion", conditions="text", free_size=True)


class Reader:
    """Reads what a test has put there."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def __call__(self) -> Catalogue:
        return self.catalogue

    def add(self, *entries: ModelEntry) -> None:
        """More models are installed."""
        self.catalogue = replace(self.catalogue, models=(*self.catalogue.models, *entries))


@pytest.fixture
def reader(catalogue: Catalogue) -> Reader:
    return Reader(catalogue)


@pytest.fixture
def page(quiet_services: Services, reader: Reader, make_page: Callable[..., ImagesPage]) -> ImagesPage:
    return make_page(quiet_services, reader)


def settle(qtbot: QtBot, page: ImagesPage) -> None:
    qtbot.waitUntil(lambda: not page.background.busy, timeout=WAIT_MS)


@pytest.mark.parametrize(
    ("entry", "fields"),
    [
        (None, set()),
        (WORDS, {"negative_prompt", "width", "height", "compute", "economy"}),
        (CLASSES, {"negative_prompt", "width", "height", "compute", "economy"}),
        (TEXT, {"class_name", "compute", "economy"}),
        (replace(WORDS, dynamic="told"), {"negative_prompt", "width", "height"}),
    ],
)
def test_what_means_nothing_to_a_model(entry: ModelEntry | None, fields: set[str]) -> None:
    reasons = unused_fields(entry)
    assert set(reasons) == fields
    assert all(reasons.values())


def test_unused_fields_say_why_and_are_not_sent(
    qtbot: QtBot, page: ImagesPage, reader: Reader, quiet_services: Services
) -> None:
    reader.add(TEXT)
    quiet_services.models.changed.emit()
    settle(qtbot, page)
    form = page.controls.form
    assert form is not None
    assert page.controls.choose_model("sd")
    for name in ("negative_prompt", "width", "height"):
        assert form.editor(name).isEnabled()
    assert not form.editor("class_name").isEnabled()
    page.controls.show_settings(
        {"negative_prompt": "blurry", "width": 512, "height": 640}, lock_seed=False
    )
    values = page.controls.values()
    assert (values["negative_prompt"], values["width"], values["height"]) == ("blurry", 512, 640)
    assert page.controls.choose_model("builtin")
    assert not form.editor("negative_prompt").isEnabled()
    assert "read texts" in form._rows["negative_prompt"].note.text()
    values = page.controls.values()
    assert (values["negative_prompt"], values["width"], values["height"]) == ("", None, None)
    assert page.controls.choose_model("sd")
    assert page.controls.values()["width"] == 512, "what was entered is kept for the next model"


def test_a_value_that_is_wrong_and_unused_stops_nobody(
    qtbot: QtBot, page: ImagesPage, reader: Reader, quiet_services: Services
) -> None:
    reader.add(TEXT)
    quiet_services.models.changed.emit()
    settle(qtbot, page)
    page.controls.show_settings({"class_name": "hearts"}, lock_seed=False)
    assert page.controls.values()["class_name"] == "hearts"
    page.controls.choose_model("sd")
    assert page.controls.values()["class_name"] is None
    page.controls.form.editor("width").box.lineEdit().setText("wide")
    page.controls.choose_model("builtin")
    assert page.controls.values()["width"] is None


def test_a_text_model_does_not_call_the_prompt_unused(
    qtbot: QtBot, page: ImagesPage, reader: Reader, quiet_services: Services
) -> None:
    reader.add(TEXT)
    quiet_services.models.changed.emit()
    settle(qtbot, page)
    page.controls.show_settings({"model": "sd", "prompt": "a lighthouse at dusk"}, lock_seed=False)
    assert page.controls.prompt.note.text() == ""


def test_a_model_that_was_just_added_is_chosen_once_it_is_read(
    qtbot: QtBot, page: ImagesPage, reader: Reader
) -> None:
    reader.add(TEXT)
    page.use_model("sd")
    settle(qtbot, page)
    assert page.controls.model is TEXT
    page.use_model("builtin")
    assert page.controls.model is not None
    assert page.controls.model.name == "builtin"


def test_a_model_can_be_wanted_before_the_page_was_shown(
    qtbot: QtBot, quiet_services: Services, reader: Reader
) -> None:
    page = ImagesPage(quiet_services, reader)
    qtbot.addWidget(page)
    page.use_model("classes")
    page.show()
    page.activate()
    settle(qtbot, page)
    assert page.controls.model is not None
    assert page.controls.model.name == "classes"


def test_a_model_that_lacks_an_extra_says_where_to_get_it(
    qtbot: QtBot, page: ImagesPage, reader: Reader, quiet_services: Services
) -> None:
    reader.add(replace(TEXT, needs=("diffusers",)))
    quiet_services.models.changed.emit()
    settle(qtbot, page)
    page.controls.choose_model("sd")
    assert "before diffusers is installed" in page.controls.problem.text.text()
    assert "Models" in page.controls.problem.hint.text()
    page.controls.choose_model("builtin")
    assert page.controls.problem.isHidden()
