"""The application in a process of its own: what it imports, shows, refuses and leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from engine.project import Project

HEAVY = ("torch", "open3d", "scipy", "sklearn", "onnxruntime", "diffusers")
LATER = ("numpy", "pydantic", "PIL", "pyqtgraph", "qtawesome", "sqlite3", "engine.job")

START = f"""
HEAVY, LATER = {HEAVY!r}, {LATER!r}
import json, sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from desktop.__main__ import main

seen = []
def loaded(names):
    return sorted(name for name in names if name in sys.modules)
def application():
    children = QApplication.instance().children()
    return next(item for item in children if type(item).__name__ == "Application")
def observe(what):
    seen.append([what, loaded(HEAVY), loaded(LATER)])
    WHEN.get(what, str)()
def close():
    QTimer.singleShot(0, application(), lambda: application().window.close())
WHEN = dict(usable=close, refused=close)
"""
END = """
code = main(sys.argv[1:], observe)
sys.stdout.write("SEEN " + json.dumps(seen))
sys.exit(code)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The process's own user folders."""
    folders = {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CONFIG", "STATE")}
    return {**os.environ, **folders, "HOME": str(tmp_path)}


def start(
    repository: Path, environment: dict[str, str], middle: str, *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START + middle + END, *map(str, arguments)],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


def seen(run: subprocess.CompletedProcess[str]) -> dict[str, tuple[list[str], list[str]]]:
    assert "SEEN " in run.stdout, run.stderr
    rows = json.loads(run.stdout.partition("SEEN ")[2])
    return {what: (heavy, later) for what, heavy, later in rows}


@pytest.mark.parametrize("page", ["images", "bodies", "models", "queue", "settings"])
def test_the_window_imports_nothing_heavy(
    repository: Path, environment: dict[str, str], tmp_path: Path, page: str
) -> None:
    run = start(repository, environment, "", "--project", tmp_path / "project", "--page", page)
    assert run.returncode == 0, run.stderr
    steps = seen(run)
    assert list(steps) == ["painted", "usable"]
    assert steps["painted"] == ([], []), "nothing but Qt before the first paint"
    assert steps["usable"][0] == []
    assert not list((tmp_path / "state").rglob("*.crash"))


def test_the_default_project_is_in_the_users_folder(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    run = start(repository, environment, "", "--page", "bodies")
    assert run.returncode == 0, run.stderr
    with Project.open(tmp_path / "Triptych" / "Default") as project:
        assert project.jobs() == []


def test_a_project_that_is_open_elsewhere_is_explained(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    say = """
def tell():
    sys.stdout.write(application().window.start_page.text)
    close()
WHEN["refused"] = tell
"""
    with Project.create(tmp_path / "project"):
        run = start(repository, environment, say, "--project", tmp_path / "project")
    assert run.returncode == 0, run.stderr
    assert list(seen(run)) == ["painted", "refused"]
    assert "The project could not be opened" in run.stdout
    assert f"process {os.getpid()}" in run.stdout
    assert "Traceback" not in run.stderr


def test_another_project_can_be_opened_in_place_of_a_refused_one(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "project.sqlite").write_bytes(b"not a database" * 100)
    again = f"""
from pathlib import Path
WHEN["refused"] = lambda: application().open_project(Path({str(tmp_path / "good")!r}))
"""
    run = start(repository, environment, again, "--project", tmp_path / "damaged", "--page", "queue")
    assert run.returncode == 0, run.stderr
    assert list(seen(run)) == ["painted", "refused", "usable"]
    assert (tmp_path / "good" / "project.sqlite").is_file()


def test_projects_can_be_changed_while_the_window_is_open(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    change = f"""
from pathlib import Path
other = Path({str(tmp_path / "two")!r})
def change():
    if application().services.project.folder == other:
        close()
    else:
        QTimer.singleShot(0, application(), lambda: application().open_project(other))
WHEN["usable"] = change
"""
    run = start(repository, environment, change, "--project", tmp_path / "one", "--page", "queue")
    assert run.returncode == 0, run.stderr
    assert "usable" in seen(run)
    for name in ("one", "two"):
        Project.open(tmp_path / name).close()


def test_interrupted_jobs_are_offered_after_a_kill(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The window is killed while a job runs; the next start offers it and says what happened."""
    kill = """
import os, signal
from engine.job import JobSpec
def work():
    bridge = application().services.bridge
    bridge.submit(JobSpec("test.wait", {"text": "x"}, device="cpu"))
    bridge.progressed.connect(lambda *_: os.kill(os.getpid(), signal.SIGKILL))
WHEN["usable"] = work
"""
    environment["TRIPTYCH_PLUGINS"] = "tests.engine.executors.job_kinds"
    arguments = ("--project", tmp_path / "project", "--page", "queue")
    assert start(repository, environment, kill, *arguments).returncode == -signal.SIGKILL
    tell = """
def tell():
    app = application()
    sys.stdout.write(app.window.banners.text("interrupted"))
    QTimer.singleShot(200, app, later)
def later():
    sys.stdout.write("|".join(n.text for n in application().notifications.notices))
    close()
WHEN["usable"] = tell
"""
    run = start(repository, environment, tell, *arguments)
    assert run.returncode == 0, run.stderr
    assert "1 job was interrupted" in run.stdout
    assert "Triptych ended unexpectedly last time." in run.stdout


def test_a_termination_signal_closes_in_order(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    end = """
import os, signal
WHEN["usable"] = lambda: os.kill(os.getpid(), signal.SIGTERM)
"""
    run = start(repository, environment, end, "--project", tmp_path / "project", "--page", "queue")
    assert run.returncode == 0, run.stderr
    assert not list((tmp_path / "state").rglob("*.crash"))


@pytest.mark.slow
def test_a_screenshot_is_saved(repository: Path, environment: dict[str, str], tmp_path: Path) -> None:
    picture = tmp_path / "shots" / "window.png"
    command = [
        sys.executable,
        "-m",
        "desktop",
        "--project",
        str(tmp_path / "project"),
        "--page",
        "queue",
    ]
    command += ["--theme", "light", "--size", "1280x800", "--screenshot", str(picture)]
    run = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, run.stderr
    image = QImage(str(picture))
    assert (image.width(), image.height()) == (1280, 800)
    assert image.pixelColor(1000, 500).lightness() > 200


def test_without_a_display_there_is_a_sentence_and_no_core_dump(
    repository: Path, environment: dict[str, str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "desktop"]
    run = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 3
    assert "no display" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("arguments", [["--size", "big"], ["--page", "nowhere"], ["--nonsense"]])
def test_bad_arguments_are_refused(
    repository: Path, environment: dict[str, str], arguments: list[str]
) -> None:
    command = [sys.executable, "-m", "desktop", *arguments]
    run = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 2
    assert "usage:" in run.stderr
