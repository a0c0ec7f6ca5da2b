"""What is installed, read on a thread; what cannot be read is said and the rest works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from desktop.background import Background
from desktop.images import catalogue
from engine.errors import EngineError, ErrorCode
from engine.images.vocabulary import Vocabulary
from engine.model_info import ModelInfo
from tests.desktop.support import WAIT_MS


def install(folder: Path, vocabulary: Vocabulary) -> Path:
    folder.mkdir()
    (folder / "generator.json").write_text(json.dumps({"vocabulary": vocabulary.to_json()}))
    return folder


def test_words_and_classes_are_read_beside_the_weights(tmp_path: Path, vocabulary: Vocabulary) -> None:
    entry = catalogue.read_model("mine", "Mine", install(tmp_path / "mine", vocabulary))
    assert entry.vocabulary is not None
    assert entry.vocabulary.captions == vocabulary.captions
    assert entry.class_names == ("hearts", "animals", "vehicles")


def test_models_of_others_are_listed_with_their_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infos = [
        ModelInfo("file", "File", "dit", tmp_path, "", 0, conditions="class"),
        ModelInfo(
            "sd", "SD", "stable-diffusion", tmp_path, "", 0, conditions="text", needs=("diffusers",)
        ),
        ModelInfo("vae", "VAE", "vae", tmp_path, "", 0, generates=False),
    ]
    monkeypatch.setattr("engine.weights.list_models", lambda: infos)
    known = {"dit": ("0", "1"), "stable-diffusion": ()}
    monkeypatch.setattr("engine.weights.class_names", lambda info: known[info.kind])
    file, sd = catalogue.read_catalogue().models
    assert (file.name, file.class_names, file.free_size) == ("file", ("0", "1"), False)
    assert (sd.conditions, sd.class_names, sd.free_size) == ("text", (), True)
    assert sd.needs == ("diffusers",)
    assert file.vocabulary is sd.vocabulary is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"vocabulary": {}}', "not json"])
def test_a_damaged_description_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "generator.json").write_text(text)
    with pytest.raises(EngineError, match="broken cannot be used") as caught:
        catalogue.read_model("broken", "Broken", tmp_path)
    assert caught.value.code is ErrorCode.BAD_FILE


def test_one_bad_model_does_not_hide_the_others(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = install(tmp_path / "good", vocabulary)
    bad = tmp_path / "bad"
    bad.mkdir()
    found = [
        ModelInfo(path.name, path.name, "triptych-generator", path, "", 0, conditions="words")
        for path in (bad, good)
    ]
    found.append(ModelInfo("other", "", "detector", good, "", 0))
    monkeypatch.setattr("engine.weights.list_models", lambda: found)
    read = catalogue.read_catalogue()
    assert [entry.name for entry in read.models] == ["good"]
    assert [problem.code for problem in read.problems] == [ErrorCode.BAD_FILE]
    assert read.model("good") is read.models[0]
    assert read.model("bad") is None
    assert "seed" in read.schema["properties"]


@pytest.fixture
def background(qapp: object) -> Iterator[Background]:
    result = Background()
    yield result
    result.deleteLater()


def test_work_is_done_in_order_and_handed_to_the_window(background: Background, qtbot: QtBot) -> None:
    heard: list[object] = []
    for value in range(5):
        background.run(lambda value=value: value * value, heard.append, heard.append)
    qtbot.waitUntil(lambda: not background.busy, timeout=WAIT_MS)
    assert heard == [0, 1, 4, 9, 16]


def test_errors_of_the_work_are_told(background: Background, qtbot: QtBot) -> None:
    heard: list[EngineError] = []

    def known() -> None:
        raise EngineError(ErrorCode.BAD_FILE, "broken")

    def unknown() -> None:
        raise ZeroDivisionError("oops")

    for work in (known, unknown):
        background.run(work, lambda _result: None, heard.append)
    qtbot.waitUntil(lambda: not background.busy, timeout=WAIT_MS)
    assert [error.code for error in heard] == [ErrorCode.BAD_FILE, ErrorCode.INTERNAL]
    assert "oops" in heard[1].message
    assert heard[1].hint
