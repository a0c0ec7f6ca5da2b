"""Labelled pictures: items, what is wrong with them, groups that belong together, and splits of groups.

A group is what must not be torn apart: the crops of one track, copies of one picture, and, where people
or vehicles are to be recognised, everything of one identity. Splits are decided by a hash of the
group, so that adding pictures does not reshuffle the others.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from PIL import Image, UnidentifiedImageError

from engine.errors import bad_file, invalid_input

SPLITS = ("train", "val", "test")
SHARES = (0.7, 0.15, 0.15)
DISTRACTOR = "-1"
"""The label of pictures of nobody in particular: in galleries, never a class of its own."""
SHOWN = 5
FORMAT = "triptych-dataset"
Box = tuple[float, float, float, float]
Grouping = Literal["pictures", "identities"]


@dataclass(frozen=True)
class Item:
    """One labelled picture, or a box in one.

    Attributes
    ----------
    path
        Of the file, which stays where it is.
    label, domain, track
        Class or identity; camera, board, ...; which track it was cropped from; the latter
        two may be "".
    split
        ``train``, ``val`` or ``test``; "" while it is not decided.
    box
        x, y, width and height in pixels; the whole picture where None.
    weight
        How much it counts.
    digest
        SHA-256 of the file, "" before it was looked at.
    """

    path: str
    label: str
    domain: str = ""
    track: str = ""
    split: str = ""
    box: Box | None = None
    weight: float = 1.0
    digest: str = ""


@dataclass(frozen=True)
class Problem:
    """Something that was left out or changed, and why.

    Attributes
    ----------
    where
        A file, or a file and its line.
    reason
        In words.
    """

    where: str
    reason: str


@dataclass
class Dataset:
    """Items with what is to be said about them.

    Attributes
    ----------
    source
        Where they come from.
    problems
        What was left out or changed, one entry each: nothing is dropped silently.
    notes
        What should be known and changed nothing.
    """

    items: list[Item]
    source: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted; distractors are none."""
        return sorted({item.label for item in self.items} - {DISTRACTOR})

    @property
    def domains(self) -> list[str]:
        """Names of the domains, sorted."""
        return sorted({item.domain for item in self.items})

    def of(self, split: str) -> list[Item]:
        """The items of one split."""
        return [item for item in self.items if item.split == split]

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of items of each class in each domain, zeros included: empty cells make bad models."""
        found = Counter((item.label, item.domain) for item in self.items)
        return {
            label: {domain: found[label, domain] for domain in self.domains} for label in self.classes
        }

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary; the inverse of :meth:`from_json`."""
        return {
            "format": FORMAT,
            "version": 1,
            "source": self.source,
            "items": [_compact(item) for item in self.items],
            "problems": [asdict(problem) for problem in self.problems],
            "notes": self.notes,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Dataset:
        """Rebuild from :meth:`to_json`; raises ``ValueError``, ``KeyError`` or ``TypeError``."""
        if data.get("format") != FORMAT or data.get("version") != 1:
            raise ValueError("it is no data set, or that of a newer program")
        items = [
            Item(**{**row, "box": tuple(row["box"]) if row.get("box") else None})
            for row in data["items"]
        ]
        problems = [Problem(**row) for row in data["problems"]]
        return cls(items, data["source"], problems, list(data["notes"]))


def _compact(item: Item) -> dict[str, Any]:
    standard = Item("", "")
    row = asdict(item)
    return {
        name: value
        for name, value in row.items()
        if name in ("path", "label") or value != getattr(standard, name)
    }


def read_dataset(path: Path) -> Dataset:
    """A data set from its file; raises ``bad_file``."""
    try:
        return Dataset.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise bad_file(
            f"{path.name} is not a data set of Triptych ({error}); nothing was started.",
            "Make one with engine.adapt.data.",
        ) from error


def looked_at(
    dataset: Dataset, on_item: Callable[[int, int], None] = lambda done, total: None
) -> Dataset:
    """The data set without what cannot be used; each file is opened and hashed.

    Left out, with a problem each: files that are missing or no pictures, boxes outside their picture,
    all copies of a picture that has two labels, further copies of a picture in the same split, domain
    and class.

    Parameters
    ----------
    dataset
        As it was read.
    on_item
        Told how many items of how many are done; may raise to stop.
    """
    problems = list(dataset.problems)
    readable: list[Item] = []
    digests: dict[str, tuple[str, tuple[int, int]] | str] = {}
    for done, item in enumerate(dataset.items):
        on_item(done, len(dataset.items))
        if item.path not in digests:
            digests[item.path] = _look(Path(item.path))
        seen = digests[item.path]
        if isinstance(seen, str):
            problems.append(Problem(item.path, seen))
            continue
        digest, size = seen
        if item.box is not None and not _overlaps(item.box, size):
            problems.append(
                Problem(item.path, f"the box {item.box} is outside the {size[0]} x {size[1]} picture")
            )
            continue
        readable.append(replace(item, digest=digest))
    kept = _without_contradictions(readable, problems)
    return Dataset(
        _without_copies(kept, problems), dataset.source, problems, dataset.notes + _name_notes(kept)
    )


def _look(path: Path) -> tuple[str, tuple[int, int]] | str:
    """Digest and size of a picture; or in words why it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    try:
        with Image.open(path) as image:
            image.load()
            size = image.size
    except Image.DecompressionBombError:
        return "the picture is too large"
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return "the file is no picture, or damaged" if data else "the file is empty"
    return hashlib.sha256(data).hexdigest(), size


def _overlaps(box: Box, size: tuple[int, int]) -> bool:
    x, y, width, height = box
    return width > 0 and height > 0 and x < size[0] and y < size[1] and x + width > 0 and y + height > 0


def _without_contradictions(items: list[Item], problems: list[Problem]) -> list[Item]:
    labels: dict[tuple[str, Box | None], set[str]] = defaultdict(set)
    for item in items:
        labels[item.digest, item.box].add(item.label)
    kept = []
    for item in items:
        names = sorted(labels[item.digest, item.box])
        if len(names) > 1:
            reason = (
                f"the same picture is labelled {' and '.join(map(repr, names))}; all copies left out"
            )
            problems.append(Problem(item.path, reason))
        else:
            kept.append(item)
    return kept


def _without_copies(items: list[Item], problems: list[Problem]) -> list[Item]:
    first: dict[tuple[Any, ...], Item] = {}
    kept = []
    for item in items:
        key = (item.digest, item.box, item.domain, item.split)
        if key in first:
            problems.append(Problem(item.path, f"a copy of {first[key].path}; it counts once"))
        else:
            first[key] = item
            kept.append(item)
    return kept


def _name_notes(items: Iterable[Item]) -> list[str]:
    names = sorted({item.label for item in items})
    notes = []
    slashed = [name for name in names if "/" in name or "\\" in name]
    if slashed:
        notes.append(
            f"Names of classes with slashes are kept as they are ({_some(slashed)}); they cannot be "
            "names of folders."
        )
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[" ".join(name.casefold().split())].append(name)
    notes += [
        f"{' and '.join(map(repr, same))} are different classes; is it one?"
        for same in alike.values()
        if len(same) > 1
    ]
    return notes


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:SHOWN]))
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def groups_of(items: Sequence[Item], grouping: Grouping = "pictures") -> list[str]:
    """A name for the group of each item; items that share track, picture or identity share it.

    ``identities`` keeps everything of one label together as well, for recognition of who was never
    trained on.
    """
    parents: dict[str, str] = {}

    def root(key: str) -> str:
        while parents.setdefault(key, key) != key:
            parents[key] = parents[parents[key]]
            key = parents[key]
        return key

    keys = []
    for item in items:
        shared = [f"picture {item.digest or item.path}"]
        if item.track:
            shared.append(f"track {item.domain} {item.track}")
        if grouping == "identities" and item.label != DISTRACTOR:
            shared.append(f"identity {item.label}")
        for key in shared[1:]:
            # The smallest name is the group's, whatever order the items come in.
            low, high = sorted((root(shared[0]), root(key)))
            parents[high] = low
        keys.append(shared[0])
    return [root(key) for key in keys]


def with_splits(
    dataset: Dataset,
    grouping: Grouping = "pictures",
    shares: tuple[float, float, float] = SHARES,
    seed: int = 0,
) -> Dataset:
    """The data set with every item in a split, and no group in two.

    A split that was given is kept; where it tears a group apart, the whole group goes to training, with
    a problem. The others are split by the hash of their group. A class of three groups or more
    that has none in the test is given one.

    Raises
    ------
    EngineError
        ``invalid_input`` for fewer than two classes.
    """
    if len(dataset.classes) < 2:
        only = f"only the class {dataset.classes[0]!r}" if dataset.classes else "no class"
        raise invalid_input(
            f"There is {only} in {dataset.source or 'these data'}; there is nothing to tell apart.",
            "Add pictures of another class, each class in a folder of its own.",
        )
    groups = groups_of(dataset.items, grouping)
    given: dict[str, set[str]] = defaultdict(set)
    members: dict[str, list[int]] = defaultdict(list)
    for row, (item, group) in enumerate(zip(dataset.items, groups, strict=True)):
        members[group].append(row)
        if item.split:
            given[group].add(item.split)
    problems = list(dataset.problems)
    split: dict[str, str] = {}
    for group, rows in members.items():
        if len(given[group]) > 1:
            split[group] = "train"
            names = _some([dataset.items[row].path for row in rows])
            problems.append(
                Problem(
                    dataset.items[rows[0]].path,
                    f"what belongs together was in {' and '.join(sorted(given[group]))} ({names}); all "
                    "of it goes to train",
                )
            )
        elif given[group]:
            split[group] = next(iter(given[group]))
        else:
            split[group] = _by_hash(group, shares, seed)
    if not any(item.split for item in dataset.items) and grouping == "pictures":
        _fill_tests(dataset.items, groups, split, seed)
    items = [
        replace(item, split=split[group]) for item, group in zip(dataset.items, groups, strict=True)
    ]
    return Dataset(items, dataset.source, problems, dataset.notes)


def _place(group: str, seed: int) -> float:
    """A number in 0..1 that depends on the group alone."""
    return int(hashlib.sha256(f"{seed} {group}".encode()).hexdigest()[:12], 16) / 16**12


def _by_hash(group: str, shares: tuple[float, float, float], seed: int) -> str:
    place = _place(group, seed) * sum(shares)
    return "train" if place < shares[0] else "val" if place < shares[0] + shares[1] else "test"


def _fill_tests(items: Sequence[Item], groups: Sequence[str], split: dict[str, str], seed: int) -> None:
    by_class: dict[str, set[str]] = defaultdict(set)
    for item, group in zip(items, groups, strict=True):
        by_class[item.label].add(group)
    for mine in by_class.values():
        ordered = sorted(mine, key=lambda group: _place(group, seed))
        if len(ordered) >= 3 and not any(split[group] == "test" for group in ordered):
            split[ordered[-1]] = "test"
        if len(ordered) >= 2 and not any(split[group] == "train" for group in ordered):
            split[ordered[0]] = "train"
