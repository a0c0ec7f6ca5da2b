"""Files of boxes and tracks: recognised by their content, cleaned, reported, written.

``read_tracks(path)`` and ``write_tracks(file, path, format)`` are all that others need.
"""

from __future__ import annotations

from pathlib import Path

from engine.errors import bad_file, invalid_input
from engine.tracks.boxes import Boxes, concatenate
from engine.tracks.formats.aicity import read_aicity, write_aicity
from engine.tracks.formats.aicity_submission import write_enlarged, write_submission
from engine.tracks.formats.coco import (
    COCO_VID,
    RESULT,
    TAO,
    read_json,
    write_coco_vid,
    write_result,
    write_tao,
)
from engine.tracks.formats.csv_table import header_names, read_csv, write_csv
from engine.tracks.formats.cvat import read_cvat, write_cvat
from engine.tracks.formats.mot import read_mot, write_mot
from engine.tracks.formats.text import no_table, text_lines
from engine.tracks.formats.track_file import Dropped, Format, Report, TrackFile, read_error

__all__ = [
    "AUTO", "FORMATS", "Dropped", "Report", "TrackFile", "read_tracks", "recognise", "write_tracks",
]  # fmt: skip

AUTO = "auto"
FORMATS = {
    "mot": Format("MOTChallenge", ".txt", read_mot, write_mot, many_cameras=False),
    "aicity": Format("AI City", ".txt", read_aicity, write_aicity, many_cameras=True),
    "aicity_submission": Format(
        "AI City submission", ".txt", read_aicity, write_submission, many_cameras=True
    ),
    "aicity_enlarged": Format(
        "AI City submission, boxes enlarged", ".txt", read_aicity, write_enlarged, many_cameras=True
    ),
    TAO: Format("TAO annotations", ".json", read_json, write_tao, many_cameras=True),
    RESULT: Format("TAO result", ".json", read_json, write_result, many_cameras=True),
    COCO_VID: Format("COCO-VID", ".json", read_json, write_coco_vid, many_cameras=True),
    "cvat": Format("CVAT for video 1.1", ".xml", read_cvat, write_cvat, many_cameras=False),
    "csv": Format("CSV", ".csv", read_csv, write_csv, many_cameras=True),
}
_LOOK_AT = 50


def recognise(path: Path) -> str:
    """The format of a file, by its content; a key of :data:`FORMATS`.

    Raises
    ------
    EngineError
        ``bad_file`` when it is none of them.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise read_error(path, error) from error
    if beginning.startswith(b"<"):
        return "cvat"
    if beginning.startswith(b"["):
        return RESULT
    if beginning.startswith(b"{"):
        # The reader tells the two apart; the order of a file's lists says nothing.
        return TAO
    lines = []
    for number, line in text_lines(path):
        lines.append(line)
        if number == 1 and header_names(line) is not None:
            return "csv"
        if len(lines) == _LOOK_AT:
            break
    if not lines:
        return "mot"  # a camera in which nothing was found
    return _recognise_numbers(path, lines)


def _recognise_numbers(path: Path, lines: list[str]) -> str:
    rows = [line.replace(",", " ").replace(";", " ").split() for line in lines]
    numbers = [row for row in map(_numbers, rows) if row]
    if not numbers or not _numbers(rows[0]):
        raise no_table(path, 1, "neither numbers, nor names of columns, nor JSON, nor XML")
    columns = len(numbers[0])
    if columns == 9:
        # Flags of MOTChallenge are 0, 1 or -1; the same column of AI City is a height.
        flags = all(len(row) != 9 or row[6] in (0, 1, -1) for row in numbers)
        return "mot" if flags else "aicity"
    if 6 <= columns <= 10:
        return "mot"
    raise no_table(path, 1, f"tracks have 6 to 10 columns of numbers, not {columns}")


def _numbers(words: list[str]) -> list[float]:
    """The words as numbers; none where one is no number: the reader says in which line that is."""
    try:
        return [float(word) for word in words]
    except ValueError:
        return []


def read_tracks(
    path: Path | str, format: str = AUTO, *, camera: str = "", reference: TrackFile | None = None
) -> TrackFile:
    """Read a file, or a folder with one file a camera.

    Parameters
    ----------
    path
        File, or folder of MOTChallenge or CVAT files named after their cameras (also
        ``CAMERA/gt/gt.txt``, as CityFlow and MOTChallenge have them).
    format
        A key of :data:`FORMATS`, or ``auto``.
    camera
        Name for the camera of a file that does not tell; the file's name without it.
    reference
        What this file is about: the annotations of a TAO result; cameras and classes get the same
        numbers as there.

    Raises
    ------
    EngineError
        ``bad_file``, naming the line where there is one; ``invalid_input`` for an unknown format.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, format, reference)
    chosen = recognise(path) if format == AUTO else format
    return _format(chosen).read(path, camera or path.stem, reference)


def write_tracks(file: TrackFile, path: Path | str, format: str) -> list[str]:
    """Write a file, or a folder where the format has one camera a file and there are several.

    Returns
    -------
    notes
        What the format cannot hold.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown format, or when the file cannot be written.
    """
    path = Path(path)
    kind = _format(format)
    if kind.many_cameras or len(file.cameras) <= 1:
        return kind.write(file, path)
    notes: dict[str, None] = {}
    for at, camera in enumerate(file.cameras):
        if Path(camera.name).name != camera.name:
            raise invalid_input(
                f"A file cannot be named after the camera {camera.name!r}; not all was written.",
                "Rename the camera.",
            )
        own = file.boxes.select(file.boxes.cameras == at)
        part = TrackFile(own.replace(cameras=0), (camera,), file.class_names, file.format)
        notes |= dict.fromkeys(kind.write(part, path / f"{camera.name}{kind.suffix}"))
    return list(notes)


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise invalid_input(f"There is no format {name!r}.", f"Choose one of: {', '.join(FORMATS)}.")
    return FORMATS[name]


def _read_folder(folder: Path, format: str, reference: TrackFile | None) -> TrackFile:
    try:
        names = {
            path.stem: path for path in sorted(folder.iterdir()) if path.suffix in (".txt", ".xml")
        }
        if not names:
            names = {path.parent.parent.name: path for path in sorted(folder.glob("*/gt/gt.txt"))}
    except OSError as error:
        raise read_error(folder, error) from error
    if not names:
        raise bad_file(
            f"{folder} has no files of tracks.",
            "Choose a file, or a folder with one .txt or .xml a camera.",
        )
    known = [camera.name for camera in reference.cameras] if reference is not None else []
    order = [*known, *(name for name in names if name not in known)]
    classes: dict[int, str] = dict(reference.class_names) if reference is not None else {}
    parts: list[Boxes] = []
    found = dict.fromkeys(order) if reference is None else {c.name: c for c in reference.cameras}
    reports: list[Report] = []
    kinds: set[str] = set()
    for name, path in names.items():
        classes_so_far = TrackFile(Boxes.empty(), (), classes)
        part = read_tracks(path, format, camera=name, reference=classes_so_far)
        if len(part.cameras) > 1 or part.format not in ("mot", "cvat"):
            raise invalid_input(
                f"{path} is in a folder with one file a camera, but its format ({part.format}) is not "
                "one of those; the folder was not read.",
                "Choose the file itself.",
            )
        classes |= dict(part.class_names)
        found[name] = part.cameras[0]
        parts.append(part.boxes.replace(cameras=order.index(name)))
        reports.append(_located(part.report, name))
        kinds.add(part.format)
    report = Report(
        sum(part.rows for part in reports),
        sum(part.kept for part in reports),
        tuple(part for one in reports for part in one.dropped),
        tuple(dict.fromkeys(note for one in reports for note in one.notes)),
    )
    cameras = tuple(camera for camera in (found[name] for name in order) if camera is not None)
    return TrackFile(concatenate(parts), cameras, classes, kinds.pop(), report)


def _located(report: Report, name: str) -> Report:
    """The same report, naming its file."""
    dropped = tuple(
        Dropped(part.reason, part.count, tuple(f"{name}: {where}" for where in part.examples))
        for part in report.dropped
    )
    return Report(report.rows, report.kept, dropped, tuple(f"{name}: {note}" for note in report.notes))
