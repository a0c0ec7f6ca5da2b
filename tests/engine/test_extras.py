"""Optional parts: found without importing, installed by the exact command, failures explained."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from engine import extras
from engine.errors import EngineError, ErrorCode


def script(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Run a program instead of pip."""
    monkeypatch.setattr(extras, "install_command", lambda name: [sys.executable, "-c", program])


def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)


def never() -> bool:
    return False


def error_of(name: str = "diffusers") -> EngineError:
    with pytest.raises(EngineError) as caught:
        extras.install_extra(name, lambda line: None, never)
    return caught.value


def test_what_is_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert extras.missing("diffusers") == ()
    absent(monkeypatch)
    assert extras.missing("diffusers", "ray") == ("diffusers", "ray")
    with pytest.raises(EngineError, match="no extra called 'magic'"):
        extras.is_installed("magic")


def test_the_command_is_for_this_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = extras.install_command("diffusers")
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[4:6] == ["--constraint", str(extras.CONSTRAINTS)]
    assert {item.split(">=")[0] for item in command[6:]} == {"diffusers", "transformers", "accelerate"}
    monkeypatch.setattr(extras, "CONSTRAINTS", tmp_path / "gone")
    assert "--constraint" not in extras.install_command("diffusers")
    assert "'" not in " ".join(extras.requirements("diffusers"))


def test_a_checkout_that_is_not_installed_knows_its_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise extras.importlib.metadata.PackageNotFoundError(name)

    expected = sorted(extras.requirements("diffusers"))
    monkeypatch.setattr(extras.importlib.metadata, "requires", unknown)
    names = [item.split(">=")[0] for item in sorted(extras.requirements("diffusers"))]
    assert names == [item.split(">=")[0] for item in expected]


def test_using_what_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    extras.require("diffusers", "My model")
    absent(monkeypatch)
    with pytest.raises(EngineError, match="My model needs") as caught:
        extras.require("diffusers", "My model")
    assert caught.value.code is ErrorCode.MISSING_WEIGHTS
    assert "-m pip install" in caught.value.hint


def test_what_the_installer_says_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, "import sys; print('Collecting'); print('Done', file=sys.stderr)")
    lines: list[str] = []
    extras.install_extra("diffusers", lines.append, never)
    assert sorted(lines) == ["Collecting", "Done"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("NewConnectionError: Temporary failure in name resolution", "cannot be reached"),
        ("ERROR: No matching distribution found for diffusers", "No matching distribution"),
        ("it broke", "pip failed"),
    ],
)
def test_a_failure_is_explained(monkeypatch: pytest.MonkeyPatch, said: str, reason: str) -> None:
    script(monkeypatch, f"print({said!r}); raise SystemExit(1)")
    error = error_of()
    assert error.code is ErrorCode.INVALID_INPUT
    assert reason in error.message
    assert said in error.detail
    assert "as before" in error.message


def test_a_success_that_brings_nothing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, "pass")
    absent(monkeypatch)
    assert "was not installed" in error_of().message


def test_without_an_installer_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "install_command", lambda name: ["/nowhere/python"])
    error = error_of()
    assert "cannot be started" in error.message


def test_a_silent_installer_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, "import time; time.sleep(60)")
    started = time.monotonic()
    with pytest.raises(EngineError) as caught:
        extras.install_extra("diffusers", lambda line: None, lambda: time.monotonic() > started + 0.3)
    assert caught.value.code is ErrorCode.CANCELLED
    assert time.monotonic() - started < 10
