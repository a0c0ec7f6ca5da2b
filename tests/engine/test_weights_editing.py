"""Descriptions of installed models are edited whole or not at all; removals can be undone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from engine.errors import EngineError, ErrorCode
from engine.weights import add_model, find_model, list_models, models_folder, verify_model
from engine.weights_editing import (
    delete_set_aside,
    describe_model,
    put_back_model,
    set_aside_model,
)
from tests.desktop.shell.model_files import WIDTH, write_dit


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the models of another."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return models_folder()


@pytest.fixture
def faces(tmp_path: Path) -> str:
    """A small DiT, installed."""
    return add_model(write_dit(tmp_path / "faces.safetensors"), num_heads=4).name


def names() -> list[str]:
    return [info.name for info in list_models()]


@pytest.mark.parametrize(("heads", "said"), [(None, "is not known"), (5, "cannot be divided")])
def test_a_width_needs_heads_that_divide_it(
    tmp_path: Path, own_models: Path, heads: int | None, said: str
) -> None:
    path = write_dit(tmp_path / "faces.safetensors")
    with pytest.raises(EngineError, match=said) as caught:
        add_model(path, num_heads=heads, on_progress=lambda *_: pytest.fail("nothing is copied"))
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert str(WIDTH) in caught.value.hint
    assert list(own_models.iterdir()) == []


def test_a_licence_is_written_beside_what_was_known(faces: str, own_models: Path) -> None:
    before = json.loads((own_models / faces / "model.json").read_text())
    info = describe_model(faces, licence="  MIT ")
    assert info.licence == "MIT"
    assert find_model(faces) == info
    after = json.loads((own_models / faces / "model.json").read_text())
    assert after == {**before, "licence": "MIT"}
    verify_model(faces)


@pytest.mark.parametrize("change", [{"licence": "MIT"}, {"vae": "none"}])
def test_only_own_models_are_changed(change: dict[str, str]) -> None:
    for name in ("builtin", "no-such-model"):
        with pytest.raises(EngineError) as caught:
            describe_model(name, **change)
        assert caught.value.code is ErrorCode.INVALID_INPUT


def test_a_vae_must_fit(faces: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="Only DiT files that make latents"):
        describe_model(faces, vae="builtin")
    latent = add_model(write_dit(tmp_path / "latent.safetensors", channels=4), num_heads=4).name
    with pytest.raises(EngineError, match="not an installed VAE with 4"):
        describe_model(latent, vae=faces)
    assert describe_model(latent, vae="none").vae == ""


def test_a_description_that_cannot_be_written_stays(
    faces: str, own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (own_models / faces / "model.json").read_bytes()

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(EngineError, match="No space left"):
        describe_model(faces, licence="MIT")
    assert (own_models / faces / "model.json").read_bytes() == before


def test_what_was_set_aside_comes_back_whole(faces: str) -> None:
    before = find_model(faces)
    aside = set_aside_model(faces)
    assert names() == ["builtin"]
    assert put_back_model(aside) == faces
    assert find_model(faces) == before
    verify_model(faces)


def test_a_name_that_was_taken_meanwhile_is_not_overwritten(faces: str, tmp_path: Path) -> None:
    aside = set_aside_model(faces)
    again = add_model(write_dit(tmp_path / "other" / "faces.safetensors", depth=2), num_heads=4)
    with pytest.raises(EngineError, match="another one has its name"):
        put_back_model(aside)
    assert find_model(faces) == again
    assert aside.is_dir()


def test_the_same_name_can_be_set_aside_twice(faces: str, tmp_path: Path) -> None:
    first = set_aside_model(faces)
    add_model(tmp_path / "faces.safetensors", num_heads=4)
    second = set_aside_model(faces)
    assert first != second
    delete_set_aside(second)
    put_back_model(first)
    assert faces in names()


def test_deleted_files_cannot_come_back(faces: str, tmp_path: Path) -> None:
    aside = set_aside_model(faces)
    delete_set_aside(aside)
    delete_set_aside(aside)
    with pytest.raises(EngineError, match="cannot be brought back") as caught:
        put_back_model(aside)
    assert caught.value.code is ErrorCode.MISSING_WEIGHTS
    assert (tmp_path / "faces.safetensors").is_file()


def test_only_what_was_abandoned_long_ago_is_swept_up(
    faces: str, own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_set_aside()
    aside = set_aside_model(faces)
    odd = own_models / ".removed-what"
    odd.mkdir()
    delete_set_aside()
    assert aside.is_dir(), "another window may want it back"
    later = time.time() + 48 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    delete_set_aside()
    assert not aside.exists()
    assert odd.is_dir()


def test_the_builtin_model_and_unknown_ones_are_not_removed(own_models: Path) -> None:
    for name in ("builtin", "no-such-model"):
        with pytest.raises(EngineError) as caught:
            set_aside_model(name)
        assert caught.value.code is ErrorCode.INVALID_INPUT


def test_a_broken_model_can_be_set_aside(own_models: Path) -> None:
    (own_models / "broken").mkdir(parents=True)
    aside = set_aside_model("broken")
    assert aside.is_dir()


def test_verifying_tells_how_far_it_is_and_can_be_stopped(faces: str) -> None:
    heard: list[tuple[float, float, str]] = []
    info = verify_model(faces, lambda *progress: heard.append(progress))
    assert heard[-1] == (info.size, info.size, "Checking")

    def stop(*_progress: object) -> None:
        raise EngineError(ErrorCode.CANCELLED, "stopped")

    with pytest.raises(EngineError, match="stopped"):
        verify_model(faces, stop)
