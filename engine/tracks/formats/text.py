"""Reading and writing of text files with a row a box, whatever separates the columns."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, bad_file
from engine.tracks.formats import track_file
from engine.tracks.formats.track_file import read_error, too_many, write_error

_LINES_AT_ONCE = 200_000
_LONGEST_LINE = 10_000
_SEPARATORS = str.maketrans(",;\t", "   ")
_ROW = re.compile(r"at row (\d+)")


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line that is not empty.

    Raises
    ------
    EngineError
        ``bad_file`` when the file cannot be read, or is no text.
    """
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline=None) as file:
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if len(line) == _LONGEST_LINE or "\0" in line:
                    raise no_table(path, number, "it is not text, or far too long")
                if not line.isspace():
                    yield number, line
    except OSError as error:
        raise read_error(path, error) from error
    except UnicodeDecodeError as error:
        raise no_table(path, number + 1, "it is not text") from error


def read_numbers(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A table of numbers.

    Columns are separated by commas, semicolons, tabs or spaces; a comma and a space are one.

    Returns
    -------
    table, lines
        float64 ``(N, C)``, and the number of the line of each row.

    Raises
    ------
    EngineError
        ``bad_file``, naming the line, when something is no number or a row has another number of
        columns than the first; also when there are too many.
    """
    parts: list[NDArray[np.float64]] = []
    line_parts: list[NDArray[np.int64]] = []
    source = text_lines(path)
    total = 0
    while chunk := list(islice(source, _LINES_AT_ONCE)):
        total += len(chunk)
        if total > track_file.MOST_BOXES:
            raise too_many(path)
        numbers = np.array([number for number, _ in chunk], np.int64)
        try:
            table = np.loadtxt(
                (line.translate(_SEPARATORS) for _, line in chunk), np.float64, comments=None, ndmin=2
            )
        except ValueError as error:
            raise _explain(path, numbers, str(error), [line for _, line in chunk]) from error
        if len(table) != len(chunk):  # lines of nothing but separators
            row = next(
                i for i, (_, line) in enumerate(chunk) if not line.translate(_SEPARATORS).strip()
            )
            raise no_table(path, int(numbers[row]), "it has separators, but no numbers")
        if parts and table.shape[1] != parts[0].shape[1]:
            raise _columns(path, int(numbers[0]), table.shape[1], parts[0].shape[1])
        parts.append(table)
        line_parts.append(numbers)
    if not parts:
        return np.zeros((0, 0)), np.zeros(0, np.int64)
    return np.concatenate(parts), np.concatenate(line_parts)


def whole_numbers(
    path: Path, values: NDArray[np.float64], lines: NDArray[np.int64], what: str
) -> NDArray[np.int64]:
    """A column of the table as int64; ``bad_file``, naming the line, where one is no whole number."""
    with np.errstate(invalid="ignore"):
        wrong = ~np.isfinite(values) | (values != np.round(values)) | (np.abs(values) > 2**53)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise no_table(path, int(lines[at]), f"the {what} {values[at]:g} is no whole number")
    return values.astype(np.int64)


def no_table(path: Path, line: int, problem: str) -> EngineError:
    """Line ``line`` cannot be understood."""
    return bad_file(
        f"{path}, line {line}: {problem}. The file was not read, nothing was changed.",
        "Correct the line, or choose the file's format by hand if it was recognised wrongly.",
    )


def write_text(path: Path, rows: Iterable[str]) -> None:
    """Write lines (without their ends) to a file: all of them, or nothing."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("x", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{row}\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def number_texts(column: NDArray[np.generic]) -> list[str]:
    """The shortest texts that read as the same numbers."""
    if column.dtype.kind == "f":
        return [text.removesuffix(".0") for text in column.astype("U32").tolist()]
    return column.astype("U24").tolist()


def _explain(path: Path, numbers: NDArray[np.int64], message: str, lines: list[str]) -> EngineError:
    found = _ROW.search(message)
    row = int(found.group(1)) if found else 0
    if "number of columns changed" in message:
        # NumPy counts from 1 here, and from 0 below.
        widths = [len(line.translate(_SEPARATORS).split()) for line in lines]
        row = next(i for i, width in enumerate(widths) if width != widths[0])
        return _columns(path, int(numbers[row]), widths[row], widths[0])
    row = min(row, len(lines) - 1)
    return no_table(path, int(numbers[row]), f"{_odd_word(lines[row])!r} is no number")


def _columns(path: Path, line: int, found: int, expected: int) -> EngineError:
    return no_table(path, line, f"it has {found} columns, the lines before it {expected}")


def _odd_word(line: str) -> str:
    for word in line.translate(_SEPARATORS).split():
        try:
            float(word)
        except ValueError:
            return word[:40]
    return line.strip()[:40]
