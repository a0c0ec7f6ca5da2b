"""Settings survive restarts and damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from desktop.settings import KNOWN, Settings


def test_values_and_state_come_back(tmp_path: Path, qapp: object) -> None:
    path = tmp_path / "folder" / "settings.json"
    first = Settings(path)
    first.set("theme", "dark")
    first.set_state("frame.images", {"across": [1, 2]})
    first.flush()
    second = Settings(path)
    assert second.get("theme") == "dark"
    assert second.get("device") == "auto"
    assert second.state("frame.images") == {"across": [1, 2]}
    assert second.state("unknown", 5) == 5


def test_every_default_is_accepted_by_its_own_setting() -> None:
    assert [name for name, known in KNOWN.items() if not known.accepts(known.default)] == []


def test_a_change_is_told_once_and_saved_by_itself(qtbot: QtBot, settings: Settings) -> None:
    with qtbot.waitSignal(settings.changed) as changed:
        settings.set("preview_hz", 5)
    assert changed.args == ["preview_hz"]
    with qtbot.assertNotEmitted(settings.changed):
        settings.set("preview_hz", 5)
    qtbot.waitUntil(settings.path.is_file)
    assert json.loads(settings.path.read_text())["values"] == {"preview_hz": 5}


@pytest.mark.parametrize(("name", "value"), [("theme", "pink"), ("preview_hz", "20"), ("device", "")])
def test_a_wrong_value_is_refused(settings: Settings, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        settings.set(name, value)
    assert settings.get(name) == KNOWN[name].default


@pytest.mark.parametrize("content", ["", "{", "[]", '{"values": 3, "state": {}}', "\x00\x01"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, qapp: object, content: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content)
    settings = Settings(path)
    assert settings.get("theme") == "system"
    assert not path.exists()
    assert (tmp_path / "settings.damaged.json").read_text() == content


def test_unknown_and_wrong_values_in_the_file_are_left_out(tmp_path: Path, qapp: object) -> None:
    path = tmp_path / "settings.json"
    values = {"theme": "pink", "from_the_future": 1, "device": "cpu"}
    path.write_text(json.dumps({"version": 1, "values": values, "state": {}}))
    settings = Settings(path)
    assert settings.get("theme") == "system"
    assert settings.get("device") == "cpu"


def test_a_disk_that_cannot_be_written_is_no_reason_to_fail(
    tmp_path: Path, qapp: object, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    settings = Settings(tmp_path / "file" / "settings.json")
    settings.set("theme", "dark")
    settings.flush()
    assert settings.get("theme") == "dark"
    assert "could not be saved" in caplog.text
