"""Where labelled pictures come from: folders, tables, and names of files that say who is seen."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from engine.adapt.data import Box, Dataset, Item, Problem
from engine.errors import bad_file, invalid_input

Kind = Literal["auto", "folders", "table", "names"]
PICTURES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
TABLES = frozenset((".csv", ".jsonl", ".tsv"))
NAME_PATTERN = r"(?P<label>-?\d+)_c(?P<domain>\d+)"
"""Market-1501 and those that follow it."""
COLUMNS = ("path", "label", "domain", "track", "split", "box", "weight")
_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "bounding_box_train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "query": "test",
    "gallery": "test",
    "bounding_box_test": "test",
}
"""Names of folders and values of columns. Query and gallery are told apart by camera, not by folder."""


def read_source(
    path: Path,
    kind: Kind = "auto",
    pattern: str = NAME_PATTERN,
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """Read items; pictures are not opened yet (see :func:`engine.adapt.data.looked_at`).

    Parameters
    ----------
    path
        A folder, or a CSV, TSV or JSONL file.
    kind
        ``folders``: a folder a class, in it perhaps a folder a camera, around them perhaps
        ``train``, ``val`` and ``test``. ``names``: files whose names match ``pattern``. ``table``.
        ``auto`` decides: a file is a table; in a folder whose pictures nearly all match, names count.
    pattern
        Regular expression with the group ``label`` and perhaps ``domain``, ``track``.
    columns
        Names of columns where they are not those of :data:`COLUMNS`, by our names.

    Raises
    ------
    EngineError
        ``bad_file`` for what is not there or cannot be read, ``invalid_input`` for a wrong pattern or
        missing columns, and where there is no item at all.
    """
    if not path.exists():
        raise bad_file(f"There is no {path}; nothing was imported.")
    if kind == "auto":
        kind = _kind_of(path, pattern)
    if kind == "table":
        dataset = _read_table(path, dict(columns or {}))
    elif kind == "names":
        dataset = _read_names(path, pattern)
    else:
        dataset = _read_folders(path)
    if not dataset.items:
        first = "".join(f" {one.where}: {one.reason}." for one in dataset.problems[:1])
        raise invalid_input(
            f"No labelled picture was found in {path}.{first}",
            "Put each class into a folder of its own, or give a CSV file with columns path and label.",
        )
    return dataset


def _kind_of(path: Path, pattern: str) -> Kind:
    if path.is_file():
        return "table"
    names = [file.name for file in _pictures(path)]
    matching = sum(bool(_compiled(pattern).search(name)) for name in names)
    return "names" if names and matching > 0.9 * len(names) else "folders"


def _pictures(root: Path) -> Iterator[Path]:
    for file in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
        if file.suffix.lower() in PICTURES and not hidden and file.is_file():
            yield file


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise invalid_input(
            f"The pattern {pattern!r} cannot be read ({error}); nothing was imported.",
            f"The usual one is {NAME_PATTERN}",
        ) from error
    if "label" not in compiled.groupindex:
        raise invalid_input(
            f"The pattern {pattern!r} has no group called label; nothing was imported.",
            f"The usual one is {NAME_PATTERN}",
        )
    return compiled


def _read_folders(root: Path) -> Dataset:
    items, problems = [], []
    for file in _pictures(root):
        above = list(file.relative_to(root).parts[:-1])
        split = ""
        if above and above[0].lower() in _SPLIT_NAMES:
            split = _SPLIT_NAMES[above.pop(0).lower()]
        if not above:
            problems.append(Problem(str(file), "it is in no folder of a class"))
        elif len(above) > 2:
            problems.append(
                Problem(
                    str(file), "it is deeper than class and camera; what the folders mean is not known"
                )
            )
        else:
            items.append(Item(str(file), above[0], domain="".join(above[1:]), split=split))
    return Dataset(items, str(root), problems)


def _read_names(root: Path, pattern: str) -> Dataset:
    compiled = _compiled(pattern)
    items, problems = [], []
    for file in _pictures(root):
        found = compiled.search(file.name)
        if found is None:
            problems.append(Problem(str(file), "its name does not match the pattern"))
            continue
        values = found.groupdict(default="")
        above = file.relative_to(root).parts[:-1]
        split = _SPLIT_NAMES.get(above[0].lower(), "") if above else ""
        label = values["label"]
        # -1 is nobody in particular, however many zeros it is written with.
        label = str(int(label)) if re.fullmatch(r"-\d+", label) else label
        items.append(
            Item(
                str(file),
                label,
                domain=values.get("domain", ""),
                track=values.get("track", ""),
                split=split,
            )
        )
    return Dataset(items, str(root), problems)


def _read_table(path: Path, columns: dict[str, str]) -> Dataset:
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise invalid_input(
            f"There is nothing called {', '.join(unknown)} to take from a column.",
            f"Known: {', '.join(COLUMNS)}.",
        )
    items: list[Item] = []
    problems: list[Problem] = []
    reader = _json_rows if path.suffix.lower() == ".jsonl" else _csv_rows
    try:
        for line, row in reader(path):
            where = f"{path.name}:{line}"
            if isinstance(row, str):
                problems.append(Problem(where, row))
                continue
            if not items and not problems:
                _check_columns(path, row, columns)
            try:
                items.append(_item(row, columns, path.parent))
            except ValueError as error:
                problems.append(Problem(where, str(error)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise bad_file(f"{path.name} cannot be read ({error}); nothing was imported.") from error
    return Dataset(items, str(path), problems)


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        delimiter = max(",;\t", key=first.count)
        reader = csv.DictReader(file, delimiter=delimiter)
        for row in reader:
            if None in row or None in row.values():
                yield reader.line_num, "the line has another number of columns than the first"
            else:
                yield reader.line_num, dict(row)


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                yield line, f"it is not JSON ({error})"
                continue
            yield line, row if isinstance(row, dict) else "it is not an object in braces"


def _check_columns(path: Path, row: Mapping[str, Any], columns: Mapping[str, str]) -> None:
    wanted = [columns.get(name, name) for name in ("path", "label")] + list(columns.values())
    missing = sorted({name for name in wanted if name not in row})
    if missing:
        raise invalid_input(
            f"{path.name} has no column {', '.join(missing)}; it has {', '.join(row)}. Nothing was "
            "imported.",
            "Say which column is the path and which the label, for example path=file label=class.",
        )


def _item(row: Mapping[str, Any], columns: Mapping[str, str], folder: Path) -> Item:
    def text(name: str) -> str:
        value = row.get(columns.get(name, name))
        return "" if value is None else str(value).strip()

    if not text("path"):
        raise ValueError("it has no path")
    if not text("label"):
        raise ValueError("it has no label")
    split = text("split").lower()
    if split and split not in _SPLIT_NAMES:
        raise ValueError(f"the split {split!r} is none of train, val and test")
    weight = _number(text("weight") or "1", "weight")
    if weight < 0:
        raise ValueError(f"the weight {weight:g} is below 0")
    return Item(
        str(folder / text("path")),
        text("label"),
        domain=text("domain"),
        track=text("track"),
        split=_SPLIT_NAMES.get(split, ""),
        box=_box(row.get(columns.get("box", "box"))),
        weight=weight,
    )


def _box(value: Any) -> Box | None:
    if value is None or value == "":
        return None
    parts = re.split(r"[\s,;]+", value.strip(" []()")) if isinstance(value, str) else value
    if not isinstance(parts, list) or len(parts) != 4:
        raise ValueError(f"the box {value!r} is not x, y, width, height")
    x, y, width, height = (_number(part, "box") for part in parts)
    return x, y, width, height


def _number(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"the {what} {value!r} is not a number")
    return number
