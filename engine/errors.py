"""The one error type that crosses the engine's border.

An :class:`EngineError` says three things: a stable ``code`` for programs, a ``message`` that says
what happened and what it means for the user's data, and a ``hint`` that says what to do next.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """What kind of thing went wrong. The values are part of the file and pipe formats."""

    INVALID_INPUT = "invalid_input"
    BAD_FILE = "bad_file"
    MISSING_WEIGHTS = "missing_weights"
    OUT_OF_MEMORY = "out_of_memory"
    CANCELLED = "cancelled"
    ENGINE_DIED = "engine_died"
    INTERNAL = "internal"


class EngineError(Exception):
    """A failure the user is told about.

    Parameters
    ----------
    code
        One of :class:`ErrorCode`.
    message
        One or two sentences: what happened, and what it means for the user's data.
    hint
        What to do next; may be empty.
    detail
        For the log and bug reports (a traceback, the offending keys); never shown first.
    """

    def __init__(self, code: ErrorCode, message: str, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def to_json(self) -> dict[str, str]:
        """Plain dictionary; the inverse of :meth:`from_json`."""
        return {
            "code": self.code.value,
            "message": self.message,
            "hint": self.hint,
            "detail": self.detail,
        }

    @classmethod
    def from_json(cls, data: dict[str, str]) -> EngineError:
        """Rebuild from :meth:`to_json`."""
        return cls(
            ErrorCode(data["code"]), data["message"], data.get("hint", ""), data.get("detail", "")
        )


def invalid_input(message: str, hint: str = "") -> EngineError:
    """Error for a value the user can correct."""
    return EngineError(ErrorCode.INVALID_INPUT, message, hint)


def bad_file(message: str, hint: str = "", detail: str = "") -> EngineError:
    """Error for a file that cannot be read as what it should be."""
    return EngineError(ErrorCode.BAD_FILE, message, hint, detail)


def cancelled() -> EngineError:
    """Raised inside a handler when the user cancelled its job."""
    return EngineError(ErrorCode.CANCELLED, "The job was cancelled; what was finished is kept.")
