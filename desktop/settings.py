"""What the user prefers and how the window was left, kept in one JSON file.

Known settings are typed and checked; a file that cannot be read is set aside and defaults are used, so
settings never keep the window from opening. Writing is delayed a little and atomic.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QStandardPaths, QTimer, Signal

log = logging.getLogger("triptych.settings")

VERSION = 1
SAVE_DELAY_MS = 500


@dataclass(frozen=True)
class Setting:
    """One known setting: its default and what it accepts."""

    default: Any
    accepts: Callable[[Any], bool]


def _one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: value in values


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_shortcuts(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_text(k) and _is_text(v) for k, v in value.items())


KNOWN: dict[str, Setting] = {
    "theme": Setting("system", _one_of("system", "light", "dark")),
    "preview_hz": Setting(20, _one_of(2, 5, 10, 20)),
    "device": Setting("auto", lambda value: isinstance(value, str) and bool(value)),
    "project_folder": Setting("", _is_text),
    "shortcuts": Setting({}, _is_shortcuts),
    "page": Setting("images", _is_text),
    "confirm_cancel_seconds": Setting(60, lambda value: isinstance(value, int) and value >= 0),
}


def default_path() -> Path:
    """Where the settings file lies on this machine."""
    kind = QStandardPaths.StandardLocation.GenericConfigLocation
    return Path(QStandardPaths.writableLocation(kind)) / "triptych" / "settings.json"


class Settings(QObject):
    """Typed settings and free-form window state.

    Attributes
    ----------
    changed
        Name of a known setting that has a new value.
    """

    changed = Signal(str)

    def __init__(self, path: Path | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.path = path or default_path()
        self._values: dict[str, Any] = {}
        self._state: dict[str, Any] = {}
        self._load()
        self._timer = QTimer(self, singleShot=True, interval=SAVE_DELAY_MS)
        self._timer.timeout.connect(self.flush)

    def get(self, name: str) -> Any:
        """Value of a known setting."""
        return self._values.get(name, KNOWN[name].default)

    def set(self, name: str, value: Any) -> None:
        """Change a known setting; it is on disk half a second later or at :meth:`flush`.

        Raises
        ------
        ValueError
            The setting does not accept the value.
        """
        if not KNOWN[name].accepts(value):
            raise ValueError(f"{value!r} is no value for the setting {name!r}")
        if self.get(name) == value:
            return
        self._values[name] = value
        self._timer.start()
        self.changed.emit(name)

    def state(self, name: str, default: Any = None) -> Any:
        """How something was left: splitter sizes, a chosen tab, the window's geometry."""
        return self._state.get(name, default)

    def set_state(self, name: str, value: Any) -> None:
        """Remember how something was left; ``value`` is JSON."""
        if self._state.get(name) != value:
            self._state[name] = value
            self._timer.start()

    def flush(self) -> None:
        """Write now. A full or read-only disk is logged: settings are no reason to fail."""
        self._timer.stop()
        content = {"version": VERSION, "values": self._values, "state": self._state}
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
            temporary.replace(self.path)
        except OSError as error:
            log.warning("settings could not be saved to %s: %s", self.path, error)

    def _load(self) -> None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            values, state = dict(content["values"]), dict(content["state"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("settings in %s are unreadable, defaults are used: %s", self.path, error)
            self._set_aside()
            return
        for name, value in values.items():
            known = KNOWN.get(name)
            if known is not None and known.accepts(value):
                self._values[name] = value
            else:
                log.info("setting %s=%r is unknown or not valid and is left out", name, value)
        self._state = state

    def _set_aside(self) -> None:
        try:
            self.path.replace(self.path.with_suffix(".damaged.json"))
        except OSError as error:
            log.warning("the damaged settings file could not be renamed: %s", error)
