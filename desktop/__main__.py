"""Starts the window: ``triptych-desktop`` or ``python -m desktop``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from desktop.app import Application

EXIT_OK, EXIT_FAILED = 0, 3
SETTLE_MS = 1500
ENGINE_MS = 30_000
PAGES = ("images", "bodies", "tracks", "adapt", "models", "queue", "settings")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="triptych-desktop", description="Open Triptych's window.")
    parser.add_argument("--project", type=Path, metavar="DIR", help="project folder; made when missing")
    parser.add_argument("--theme", choices=("light", "dark", "system"), help="for this run")
    parser.add_argument("--page", choices=PAGES, help="page to begin with")
    parser.add_argument("--size", metavar="WxH", help="window size, for example 1280x800")
    parser.add_argument(
        "--screenshot", type=Path, metavar="FILE", help="save a picture of the window and end"
    )
    return parser


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    return int(width), int(height)


def main(argv: Sequence[str] | None = None, observe: Callable[[str], object] | None = None) -> int:
    """Run the application.

    Parameters
    ----------
    argv
        Arguments without the program's name.
    observe
        Called with ``painted``, then ``usable`` or ``refused``: for measurements.

    Returns
    -------
    int
        Exit code: 0; 3 when no window can be shown. Bad arguments end with 2.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        size = _size(options.size)
    except ValueError:
        parser.error(f"--size takes two numbers like 1280x800, not {options.size!r}")
    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    ):
        sys.stderr.write(
            "Triptych found no display, so there is no window; no data was touched.\n"
            "Log in to a desktop, or use the command line: `triptych --help`.\n"
        )
        return EXIT_FAILED

    from PySide6.QtWidgets import QApplication

    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    app.setApplicationName("triptych")
    app.setApplicationDisplayName("Triptych")
    app.setDesktopFileName("triptych")
    app.setQuitOnLastWindowClosed(False)

    from desktop.app import Application

    application = Application(app, options.project, options.theme, options.page)
    if size is not None:
        application.window.resize(*size)
    if observe is not None:
        application.window.painted.connect(lambda: observe("painted"))
        application.usable.connect(lambda: observe("usable"))
        application.refused.connect(lambda: observe("refused"))
    if options.screenshot is not None:
        _take_screenshot(application, options.screenshot)
    application.show()
    app.exec()
    application.close()
    return EXIT_OK


def _take_screenshot(application: Application, file: Path) -> None:
    """Save the window's picture when its page has settled and the engine is warm, then end."""
    from PySide6.QtCore import QTimer

    settled = QTimer(application, singleShot=True, interval=SETTLE_MS)

    def save() -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        application.window.grab().save(str(file))
        application.close()

    def wait_for_engine() -> None:
        assert application.services is not None
        settled.start(ENGINE_MS)
        application.services.bridge.engine_ready.connect(lambda: settled.start(SETTLE_MS))

    settled.timeout.connect(save)
    application.usable.connect(wait_for_engine)
    application.refused.connect(settled.start)


if __name__ == "__main__":
    sys.exit(main())
