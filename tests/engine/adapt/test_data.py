"""Data sets: sources, bad data, groups that are never torn apart, splits that stay."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.adapt.data import (
    Dataset,
    Item,
    groups_of,
    looked_at,
    read_dataset,
    with_splits,
)
from engine.adapt.data_sources import read_source
from engine.errors import EngineError


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 5, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def folders(root: Path, count: int = 8) -> Path:
    for number in range(count):
        for place, name in enumerate(("car", "van")):
            picture(root / name / f"{number}.png", 2 * number + place)
    return root


def test_folders_of_classes_cameras_and_splits(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "car" / "north" / "a.png", 1)
    picture(tmp_path / "Validation" / "van" / "b.JPG", 2)
    picture(tmp_path / "van" / "south" / "c.webp", 3)
    picture(tmp_path / "loose.png", 4)
    picture(tmp_path / "car" / "a" / "b" / "deep.png", 5)
    picture(tmp_path / ".cache" / "hidden.png", 6)
    (tmp_path / "car" / "notes.txt").write_text("no picture")
    dataset = read_source(tmp_path)
    told = {(item.label, item.domain, item.split) for item in dataset.items}
    assert told == {("car", "north", "train"), ("van", "", "val"), ("van", "south", "")}
    assert {Path(p.where).name: p.reason for p in dataset.problems} == {
        "loose.png": "it is in no folder of a class",
        "deep.png": "it is deeper than class and camera; what the folders mean is not known",
    }


def test_names_of_people_and_cameras(tmp_path: Path) -> None:
    for name in ("bounding_box_train/0002_c1s1_0.jpg", "query/0003_c2s1_7.jpg", "0003_c1s1_1.jpg",
                 "bounding_box_test/-1_c4s2_9.jpg"):  # fmt: skip
        picture(tmp_path / name, len(name))
    dataset = read_source(tmp_path)
    told = {(item.label, item.domain, item.split) for item in dataset.items}
    assert told == {
        ("0002", "1", "train"),
        ("0003", "2", "test"),
        ("0003", "1", ""),
        ("-1", "4", "test"),
    }
    assert dataset.classes == ["0002", "0003"]
    own = read_source(tmp_path, "names", r"(?P<label>\d{4})_c\ds(?P<track>\d)")
    assert {item.track for item in own.items} == {"1"}


@pytest.mark.parametrize(("pattern", "said"), [("(", "cannot be read"), (r"(\d+)", "no group called")])
def test_wrong_patterns(tmp_path: Path, pattern: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        read_source(folders(tmp_path), "names", pattern)


def test_tables_say_which_lines_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "file;class;where;box;weight\n"
        "a.png;SUV/van;gate;1 2 3 4;\n"
        "b.png;;gate;;\n"
        ";van;gate;;\n"
        "c.png;van;gate;1,2,3;\n"
        "d.png;van;gate;;heavy\n"
        "e.png;van\n"
        "f.png;van;yard;[0, 0, 5, 5];2.5\n"
    )
    columns = {"path": "file", "label": "class", "domain": "where"}
    dataset = read_source(tmp_path / "t.csv", columns=columns)
    assert [(item.label, item.domain, item.box, item.weight) for item in dataset.items] == [
        ("SUV/van", "gate", (1.0, 2.0, 3.0, 4.0), 1.0),
        ("van", "yard", (0.0, 0.0, 5.0, 5.0), 2.5),
    ]
    assert dataset.items[0].path == str(tmp_path / "a.png")
    assert {p.where: p.reason for p in dataset.problems} == {
        "t.csv:3": "it has no label",
        "t.csv:4": "it has no path",
        "t.csv:5": "the box '1,2,3' is not x, y, width, height",
        "t.csv:6": "the weight 'heavy' is not a number",
        "t.csv:7": "the line has another number of columns than the first",
    }
    with pytest.raises(EngineError, match="no column label, path; it has file, class"):
        read_source(tmp_path / "t.csv")
    with pytest.raises(EngineError, match="nothing called colour"):
        read_source(tmp_path / "t.csv", columns={"colour": "class"})


def test_lines_of_json(tmp_path: Path) -> None:
    rows = [{"path": "a.png", "label": 3, "split": "Test", "box": [0, 0, 2, 2]}, [1], {"path": "b.png"}]
    text = "\n".join(map(json.dumps, rows)) + '\n\n{"path": \n'
    (tmp_path / "t.jsonl").write_text(text)
    dataset = read_source(tmp_path / "t.jsonl")
    assert [(item.label, item.split, item.box) for item in dataset.items] == [
        ("3", "test", (0.0, 0.0, 2.0, 2.0))
    ]
    assert [p.where for p in dataset.problems] == ["t.jsonl:2", "t.jsonl:3", "t.jsonl:5"]


def test_bad_data_is_left_out_and_named(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "car" / "broken.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "car" / "empty.jpg").write_bytes(b"")
    picture(tmp_path / "car" / "twice.png", 100)
    picture(tmp_path / "van" / "twice.png", 100)
    picture(tmp_path / "van" / "copy.png", 1)
    read = read_source(tmp_path)
    items = [
        *read.items,
        Item(str(tmp_path / "gone.png"), "car"),
        Item(str(tmp_path / "car" / "0.png"), "car", box=(7, 0, 3, 3)),
    ]
    steps: list[int] = []
    dataset = looked_at(Dataset(items), lambda done, total: steps.append(done))
    assert len(steps) == len(items)
    assert len(dataset.items) == 16
    reasons = {Path(p.where).relative_to(tmp_path).as_posix(): p.reason for p in dataset.problems}
    contradiction = "the same picture is labelled 'car' and 'van'; all copies left out"
    assert reasons == {
        "car/broken.png": "the file is no picture, or damaged",
        "car/empty.jpg": "the file is empty",
        "car/twice.png": contradiction,
        "van/twice.png": contradiction,
        "van/copy.png": f"a copy of {tmp_path / 'van' / '0.png'}; it counts once",
        "gone.png": "the file cannot be read: No such file or directory",
        "car/0.png": "the box (7, 0, 3, 3) is outside the 5 x 6 picture",
    }


def test_names_that_may_be_mistakes_are_noted(tmp_path: Path) -> None:
    path = str(picture(tmp_path / "a.png", 1))
    items = [Item(path, name, box=(i, 0, 1, 1)) for i, name in enumerate(("SUV/van", "Car", "car "))]
    notes = looked_at(Dataset(items)).notes
    assert "'SUV/van'" in notes[0]
    assert "'Car' and 'car '" in notes[1]


def test_no_class_and_one_class(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="No labelled picture"):
        read_source(tmp_path)
    with pytest.raises(EngineError, match="There is no"):
        read_source(tmp_path / "gone")
    picture(tmp_path / "car" / "a.png", 1)
    with pytest.raises(EngineError, match="only the class 'car'"):
        with_splits(read_source(tmp_path))


ITEMS = st.lists(
    st.builds(
        Item,
        path=st.integers(0, 40).map(str),
        label=st.sampled_from("abc"),
        domain=st.sampled_from(["", "x", "y"]),
        track=st.sampled_from(["", "1", "2", "3"]),
        split=st.sampled_from(["", "", "", "train", "test"]),
    ),
    min_size=2,
    max_size=40,
).filter(lambda items: len({item.label for item in items}) > 1)


@settings(max_examples=150, deadline=None)
@given(ITEMS, st.sampled_from(["pictures", "identities"]))
def test_no_split_tears_apart_what_belongs_together(items: list[Item], grouping: str) -> None:
    dataset = with_splits(Dataset(items), grouping)  # type: ignore[arg-type]
    for key in ("path", "track", "label"):
        if key == "label" and grouping == "pictures":
            continue
        homes: dict[str, set[str]] = {}
        for item in dataset.items:
            value = f"{item.domain} {item.track}" if key == "track" else getattr(item, key)
            if key != "track" or item.track:
                homes.setdefault(value, set()).add(item.split)
        assert all(len(splits) == 1 for splits in homes.values()), (key, homes)
    assert {item.split for item in dataset.items} <= {"train", "val", "test"}
    # The order of the items changes nothing.
    turned = with_splits(Dataset(items[::-1]), grouping)  # type: ignore[arg-type]
    assert [item.split for item in turned.items[::-1]] == [item.split for item in dataset.items]


def test_a_given_split_that_leaks_is_repaired_and_said() -> None:
    items = [
        Item("a", "car", track="7", domain="gate", split="train"),
        Item("b", "car", track="7", domain="gate", split="test"),
        Item("c", "van", split="test"),
    ]
    dataset = with_splits(Dataset(items))
    assert [item.split for item in dataset.items] == ["train", "train", "test"]
    assert "was in test and train ('a', 'b'); all of it goes to train" in dataset.problems[0].reason


def test_splits_stay_when_pictures_are_added_and_have_their_shares() -> None:
    items = [Item(f"{i}", "ab"[i % 2]) for i in range(2000)]
    before = with_splits(Dataset(items[:1000])).items
    after = with_splits(Dataset(items)).items
    assert before == after[:1000]
    shares = [sum(item.split == name for item in after) / 2000 for name in ("train", "val", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.15, 0.15], atol=0.03)
    assert with_splits(Dataset(items), seed=1).items != after


def test_small_classes_are_in_the_test_too() -> None:
    items = [Item(f"{name}{i}", name) for name in "abcdefgh" for i in range(3)]
    dataset = with_splits(Dataset(items))
    for name in "abcdefgh":
        splits = {item.split for item in dataset.items if item.label == name}
        assert {"train", "test"} <= splits


def test_identities_are_not_shared_but_distractors_are_free() -> None:
    items = [Item(f"{i}", str(i % 5), domain=str(i % 2)) for i in range(50)]
    items += [Item(f"d{i}", "-1") for i in range(30)]
    groups = groups_of(items, "identities")
    assert len(set(groups[:50])) == 5
    assert len(set(groups[50:])) == 30


def test_counts_and_the_file(tmp_path: Path) -> None:
    items = [Item("a", "car", "gate", box=(0, 1, 2, 3)), Item("b", "van", "yard", weight=2.0)]
    dataset = Dataset(items, "here", [], ["a note"])
    assert dataset.counts() == {"car": {"gate": 1, "yard": 0}, "van": {"gate": 0, "yard": 1}}
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(dataset.to_json()))
    assert read_dataset(path) == dataset
    for text in ("{}", "[]", '{"format": "triptych-dataset", "version": 1, "items": [{}]}'):
        path.write_text(text)
        with pytest.raises(EngineError, match="not a data set"):
            read_dataset(path)


def test_a_split_of_copies_in_two_splits_goes_to_training(tmp_path: Path) -> None:
    items = [
        replace(item, split="train" if "van" in item.path else "test")
        for item in read_source(folders(tmp_path)).items
    ]
    copy = str(picture(tmp_path / "other.png", 0))
    dataset = with_splits(looked_at(Dataset([*items, Item(copy, "car", split="train")])))
    copies = [item for item in dataset.items if item.path in (copy, str(tmp_path / "car" / "0.png"))]
    assert [item.split for item in copies] == ["train", "train"]
