"""What doctor sees on machines that lack something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine import doctor


def states() -> dict[str, doctor.Check]:
    """All quick checks by name."""
    return {check.name: check for check in doctor.diagnose(quick=True)}


@pytest.fixture
def no_such_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window needs a library that nobody has."""
    (tmp_path / "system-libraries.txt").write_text("# comment\nlibnosuch.so.1  libnosuch1\n")
    monkeypatch.setattr(doctor, "RESOURCES", tmp_path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="packages of Linux systems")
def test_a_missing_library_is_named_with_its_package(no_such_library: None) -> None:
    assert doctor.missing_libraries() == {"libnosuch.so.1": "libnosuch1"}
    assert "libnosuch.so.1" in str(doctor.window_obstacle())
    check = states()["window libraries"]
    assert check.state == "warning"  # the engine works without
    assert check.hint == "sudo apt-get install libnosuch1"


def test_the_shipped_list_pairs_libraries_with_packages() -> None:
    listed = (doctor.RESOURCES / "system-libraries.txt").read_text().splitlines()
    entries = [line.split() for line in listed if not line.startswith("#")]
    assert all(len(entry) == 2 for entry in entries)
    assert {"libEGL.so.1", "libxcb-cursor.so.0", "libxkbcommon-x11.so.0"} <= {e[0] for e in entries}


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no_such_package", "torch"))
    check = states()["packages"]
    assert (check.state, check.text) == ("problem", "missing: no_such_package")
    assert not doctor.report([check])["ok"]


def test_a_torch_that_cannot_be_loaded_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("libtorch_cpu.so: cannot open shared object file")

    monkeypatch.setattr("engine.device.describe", broken)
    check = next(check for check in doctor.diagnose() if check.name == "torch")
    assert check.state == "problem"
    assert "libtorch_cpu.so" in check.text


def test_a_projects_folder_that_cannot_be_written_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "projects_folder", lambda: Path("/proc/Triptych"))
    assert states()["projects"].state == "problem"


def test_little_memory_is_only_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MINIMUM_FREE", 1 << 60)
    found = states()
    assert found["memory"].state == found["disk"].state == "warning"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays of Linux systems")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"DISPLAY": ":4711"}, None),
        ({"WAYLAND_DISPLAY": "nowhere-0", "XDG_RUNTIME_DIR": "/nowhere"}, None),
        ({"QT_QPA_PLATFORM": "xcb", "DISPLAY": "nonsense"}, None),
        ({"QT_QPA_PLATFORM": "offscreen"}, "offscreen"),
        ({"QT_QPA_PLATFORM": "vnc:size=800x600"}, "vnc:size=800x600"),
    ],
)
def test_a_display_counts_when_it_answers(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str | None
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert doctor.display() == expected


def test_looking_loads_no_window_library(repository: Path) -> None:
    code = (
        "import sys\n"
        "from engine.doctor import diagnose\n"
        "list(diagnose(quick=True))\n"
        "sys.exit(' '.join({'PySide6.QtCore', 'torch'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
