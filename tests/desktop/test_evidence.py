"""A run that ends badly leaves evidence that the next start finds, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from desktop.evidence import Evidence, UnexpectedEnd, unexpected_ends

RUN = """
import logging, os, signal, sys
from pathlib import Path
from desktop.evidence import Evidence, Hooks
evidence = Evidence(Path(sys.argv[1]))
evidence.begin()
logging.getLogger("triptych.window").warning("working on it")
hooks = Hooks(evidence, lambda text, details: None)
hooks.install()
hooks.window_shown = True
"""


def run(folder: Path, repository: Path, ending: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN + ending, str(folder)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
    )


def the_end(folder: Path) -> UnexpectedEnd:
    (end,) = unexpected_ends(folder)
    return end


def test_a_clean_end_leaves_only_the_log(tmp_path: Path, repository: Path) -> None:
    assert run(tmp_path, repository, "hooks.remove(); evidence.end()").returncode == 0
    assert unexpected_ends(tmp_path) == []
    assert [path.suffix for path in tmp_path.iterdir()] == [".log"]
    (log_file,) = tmp_path.iterdir()
    assert "working on it" in log_file.read_text()


def test_a_killed_run_is_reported_once(tmp_path: Path, repository: Path) -> None:
    run(tmp_path, repository, "os.kill(os.getpid(), signal.SIGKILL)")
    end = the_end(tmp_path)
    assert "working on it" in end.log_file.read_text()
    assert end.reason == "It was ended from outside, or the machine stopped."
    assert unexpected_ends(tmp_path) == []


def test_a_crash_in_native_code_says_where(tmp_path: Path, repository: Path) -> None:
    run(tmp_path, repository, "import faulthandler; faulthandler._sigsegv()")
    end = the_end(tmp_path)
    assert "Segmentation fault" in end.reason
    assert "<string>" in end.crash


@pytest.mark.parametrize("exit", ["os._exit(1)", "hooks.remove(); evidence.end()"])
def test_a_lost_display_is_named(tmp_path: Path, repository: Path, exit: str) -> None:
    """Whether Qt ends the process at once, as it did, or its event loop, as it does now."""
    ending = """
from PySide6.QtCore import qWarning
qWarning("The X11 connection broke (error 1). Did the X11 server die?")
"""
    run(tmp_path, repository, ending + exit)
    assert the_end(tmp_path).reason == "The connection to the display was lost."


def test_an_uncaught_error_is_logged_and_told(tmp_path: Path, repository: Path) -> None:
    ending = """
hooks._tell = lambda text, details: sys.stdout.write(text + details)
sys.excepthook(*(lambda e: (type(e), e, None))(ValueError("lost my keys")))
hooks.remove(); evidence.end()
"""
    done = run(tmp_path, repository, ending)
    assert "lost my keys" in done.stdout
    (log_file,) = tmp_path.glob("*.log")
    assert "uncaught error" in log_file.read_text()


def test_a_run_that_goes_on_is_not_reported(tmp_path: Path, repository: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", RUN + "print('ready', flush=True); sys.stdin.read()", str(tmp_path)],
        cwd=repository,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "ready"
        assert unexpected_ends(tmp_path) == []
    finally:
        child.kill()
        child.communicate(timeout=60)
    assert the_end(tmp_path).log_file.is_file()


def test_old_evidence_is_tidied_up(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"20260101-0000{number:02}-1.log").write_text("old")
    assert unexpected_ends(tmp_path) == []
    left = sorted(path.name for path in tmp_path.glob("*.log"))
    assert len(left) == 20
    assert left[-1] == "20260101-000029-1.log"


def test_without_a_writable_folder_there_is_no_evidence_but_a_window(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    evidence = Evidence(tmp_path / "file" / "runs")
    evidence.begin()
    evidence.note("nowhere")
    evidence.end()
    assert "no crash evidence" in caplog.text
