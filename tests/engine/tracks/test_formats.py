"""Files of tracks: what goes out comes in again, what is wrong is named with its line."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import EngineError, ErrorCode
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.formats import FORMATS, TrackFile, read_tracks, recognise, track_file, write_tracks

TRACK = "<track id='1' label='a'/>"
HELD = {
    "mot": {"scores"},
    "aicity": set(),
    "tao": {"classes"},
    "coco_vid": {"classes"},
    "cvat": {"classes"},
    "csv": {"scores", "classes"},
}
"""Columns that each format holds besides frames, boxes, tracks and cameras."""


def random_boxes(seed: int, cameras: int, held: set[str], count: int = 60) -> Boxes:
    """Boxes with ugly numbers, at most one for a track in a frame, one class a track."""
    rng = np.random.default_rng(seed)
    keys = rng.permutation(40 * 6 * cameras)[:count]
    camera, frame, track = np.unravel_index(np.sort(keys), (cameras, 40, 6))
    xywh = rng.choice([1, 10, 1000], (count, 1)) * rng.random((count, 4)).astype(np.float32)
    return Boxes.of(
        frame, xywh + np.float32([0, 0, 0.1, 0.1]), tracks=track + 6 * camera, cameras=camera,
        scores=rng.random(count) if "scores" in held else 1.0,
        classes=track % 3 if "classes" in held else 0,
    ).sorted()  # fmt: skip


def assert_same(found: Boxes, expected: Boxes) -> None:
    for name, column in expected.columns().items():
        np.testing.assert_array_equal(getattr(found.sorted(), name), column, err_msg=name)


@pytest.mark.parametrize("kind", HELD)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), cameras=st.integers(1, 3))
def test_what_is_written_is_read_and_recognised(
    tmp_path: Path, kind: str, seed: int, cameras: int
) -> None:
    boxes = random_boxes(seed, cameras, HELD[kind])
    names = {0: "car", 1: "lorry, big", 2: 'bus "two"'} if "classes" in HELD[kind] else {}
    if kind == "csv":  # names in the order of the alphabet get the numbers from 0
        names = {0: 'bus "two"', 1: "car", 2: "lorry, big"}
    file = TrackFile(
        boxes, tuple(Camera(f"c{number:03d}", fps=10) for number in range(1, cameras + 1)), names
    )
    path = tmp_path / f"{kind}-{seed}-{cameras}"
    write_tracks(file, path, kind)
    again = read_tracks(path)
    assert again.format == kind
    assert not again.report.dropped
    assert [camera.name for camera in again.cameras] == (
        [path.stem]
        if cameras == 1 and not FORMATS[kind].many_cameras
        else [c.name for c in file.cameras]
    )
    found = again.boxes
    if "classes" in HELD[kind]:
        for number in set(boxes.classes.tolist()):
            mine = {names[n] for n in boxes.classes[boxes.classes == number]}
            assert {
                again.class_names[n] for n in found.sorted().classes[boxes.classes == number]
            } == mine
        found = found.replace(
            classes=[list(names.values()).index(again.class_names[n]) for n in found.classes]
        )
        boxes = boxes.replace(classes=[list(names).index(n) for n in boxes.classes])
    assert_same(found, boxes)
    # And the tables of two readings are the same to the last bit, further columns included.
    second = tmp_path / f"{path.name}-again"
    write_tracks(again, second, kind)
    last = read_tracks(second, kind, camera=again.cameras[0].name)
    assert last.boxes.sorted().equals(again.boxes.sorted())
    assert last.class_names == again.class_names


def read_text(tmp_path: Path, text: str, name: str = "file.txt", format: str = "auto") -> TrackFile:
    path = tmp_path / name
    path.write_text(text)
    return read_tracks(path, format)


def test_columns_of_motchallenge(tmp_path: Path) -> None:
    found = read_text(tmp_path, "1, 2, 10.5, 20, 30, 40, 0.5, 1.25, 2, 3\n2,-1,1,2,3,4,0.1,-1,-1,-1\n")
    assert (found.format, found.cameras[0].name) == ("mot", "file")
    assert found.boxes.frames.tolist() == [0, 1]
    assert found.boxes.tracks.tolist() == [2, -1]
    assert found.boxes.xywh[0].tolist() == [10.5, 20, 30, 40]
    assert found.boxes.extra["world"].tolist() == [[1.25, 2, 3], [-1, -1, -1]]
    truth = read_text(tmp_path, "1,1,5,5,10,10,0,8,0.25\n1,2,5,5,10,10,1,1,1\n")
    assert truth.boxes.scores.tolist() == [0, 1]
    assert truth.boxes.classes.tolist() == [8, 1]
    assert truth.boxes.extra["visibility"].tolist() == [0.25, 1]
    city = read_text(tmp_path, "1,1,5,5,10,10,1,-1,-1\n")
    assert city.format == "mot"
    assert city.boxes.classes.tolist() == [0]
    assert not city.boxes.extra


def test_frames_that_count_from_0_are_told(tmp_path: Path) -> None:
    found = read_text(tmp_path, "0,1,5,5,10,10,1\n1,1,5,5,10,10,1\n")
    assert found.boxes.frames.tolist() == [0, 1]
    assert "first frame is 0" in found.report.notes[0]


def test_columns_of_ai_city(tmp_path: Path) -> None:
    text = "42 5 1 10 20 30 40 -1 -1\n41 5 3 1 2 30 40 1.5 2\n"
    for separated in (text, text.replace(" ", ","), text.replace(" ", "\t")):
        found = read_text(tmp_path, separated)
        assert (found.format, [camera.name for camera in found.cameras]) == ("aicity", ["c041", "c042"])
        assert found.boxes.cameras.tolist() == [1, 0]
        assert found.boxes.frames.tolist() == [0, 2]
    assert found.boxes.extra["world"].tolist() == [[-1, -1], [1.5, 2]]
    other = write_tracks(
        TrackFile(found.boxes, (Camera("gate"), Camera("yard"))), tmp_path / "x", "aicity"
    )
    assert other == ["Cameras were numbered: gate = 1, yard = 2."]


def test_other_names_of_csv_columns(tmp_path: Path) -> None:
    text = "Frame;ID;xmin;ymin;xmax;ymax;label;speed\n5;7;1;2;11;22;car;1.5\n6;7;1;2;11;22;van;2\n"
    found = read_text(tmp_path, text)
    assert found.format == "csv"
    assert found.boxes.xywh.tolist() == [[1, 2, 10, 20]] * 2
    assert found.class_names == {0: "car", 1: "van"}
    assert found.boxes.extra["speed"].tolist() == [1.5, 2]
    assert found.boxes.frames.tolist() == [5, 6]


def test_csv_keeps_further_columns(tmp_path: Path) -> None:
    extra = {
        "occluded": np.array([0, 1]),
        "world": np.array([[1.0, 2.5], [3, 4]]),
        "speed": np.float32([1, 2]),
    }
    file = TrackFile(Boxes.of([0, 1], np.ones((2, 4)), extra=extra), (Camera("a,b"),))
    assert write_tracks(file, tmp_path / "x.csv", "csv") == []
    again = read_tracks(tmp_path / "x.csv")
    assert again.cameras[0].name == "a,b"
    for name, column in extra.items():
        np.testing.assert_array_equal(again.boxes.extra[name], column)
        assert again.boxes.extra[name].dtype.kind == column.dtype.kind


def test_cvat_boxes_between_key_frames_are_linear(tmp_path: Path) -> None:
    def box(frame: int, x: float, outside: int = 0) -> str:
        corners = f'xtl="{x}" ytl="0" xbr="{x + 10}" ybr="20"'
        flags = f'outside="{outside}" occluded="{int(frame == 4)}" keyframe="1"'
        return f'<box frame="{frame}" {flags} {corners}/>'

    boxes = "".join([box(0, 0), box(4, 8), box(6, 8, 1), box(10, 3), box(11, 3, 1)])
    text = (
        '<?xml version="1.0"?><annotations><version>1.1</version><meta><task><size>12</size>'
        "<original_size><width>640</width><height>480</height></original_size></task></meta>"
        f'<track id="3" label="car" source="manual">{boxes}</track></annotations>'
    )
    found = read_text(tmp_path, text, "gate.xml")
    assert found.boxes.frames.tolist() == [0, 1, 2, 3, 4, 5, 10]
    assert found.boxes.xywh[:, 0].tolist() == [0, 2, 4, 6, 8, 8, 3]
    assert found.boxes.extra["occluded"].tolist() == [0, 0, 0, 0, 1, 1, 0]
    assert found.cameras == (Camera("gate", width=640, height=480, frames=12),)
    assert found.class_names == {0: "car"}


def test_a_tao_round_trip_is_lossless(golden: Path, tmp_path: Path) -> None:
    source = golden / "mtmc" / "tao" / "annotations.json"
    truth = read_tracks(source)
    assert truth.format == "tao"
    write_tracks(truth, tmp_path / "t.json", "tao")
    before, after = json.loads(source.read_text()), json.loads((tmp_path / "t.json").read_text())
    for name in ("videos", "images", "tracks", "categories", "info", "licenses"):
        assert after[name] == before[name], name

    def table(data: dict) -> list:
        keys = ("id", "image_id", "video_id", "track_id", "category_id", "bbox", "iscrowd")
        return sorted(tuple(map(str, (row[key] for key in keys))) for row in data["annotations"])

    assert table(after) == table(before)
    result = read_tracks(source.with_name("results.json"), reference=truth)
    assert result.format == "tao_result"
    write_tracks(result, tmp_path / "r.json", "tao_result")
    assert read_tracks(tmp_path / "r.json", reference=truth).boxes.equals(result.boxes.sorted())
    with pytest.raises(EngineError, match="names pictures by number only"):
        read_tracks(source.with_name("results.json"))


def test_repetitions_and_impossible_boxes_are_dropped_and_told(tmp_path: Path) -> None:
    rows = [
        "3,1,5,5,10,10,1",
        "3,1,6,6,10,10,1",
        "4,1,5,5,0,10,1",
        "4,2,5,5,nan,10,1",
        "-4,2,5,5,5,10,1",
    ]
    rows += ["5,-1,5,5,10,10,0.5"] * 7 + ["5,-1,5,5,10,10,0.6", "6,2,5,5,10,-3,1"]
    found = read_text(tmp_path, "\n\n".join(rows))
    assert found.boxes.frames.tolist() == [2, 4, 4]
    report = found.report
    assert (report.rows, report.kept) == (14, 3)
    assert {part.reason: part.count for part in report.dropped} == {
        "a value is no finite number": 1,
        "width or height is not positive": 2,
        "the frame is before the first one": 1,
        "the track has a box in this frame already": 1,
        "the same detection is there already": 6,
    }
    examples = {part.reason: part.examples for part in report.dropped}
    assert examples["the track has a box in this frame already"] == ("line 3",)
    assert examples["the same detection is there already"][0] == "line 13"
    assert len(examples["the same detection is there already"]) == 5
    assert (
        "2 of 14 rows were dropped: width or height is not positive (line 5, line 27)."
        in report.lines()
    )
    assert report.to_json()["kept"] == 3


def test_frames_beyond_the_video_are_dropped() -> None:
    boxes = Boxes.of([0, 9, 10], np.ones((3, 4)))
    kept, report = track_file.clean(boxes, (Camera("c", frames=10),), lambda row: f"row {row}")
    assert kept.frames.tolist() == [0, 9]
    assert report.dropped[0].examples == ("row 2",)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.txt", "1,1,2,2,3,3,1\n1,1,2,2,3,x,1\n", "line 2: 'x' is no number"),
        ("a.txt", "1,1,2,2,3,3,1\n\n1,1,2,2,3,3\n", "line 3: it has 6 columns, the lines before it 7"),
        ("a.txt", "1,1,2\n", "tracks have 6 to 10 columns"),
        ("a.txt", "1.5,1,2,2,3,3,1\n", "line 1: the frame 1.5 is no whole number"),
        ("a.txt", "1,1,2,2,3,3,1\n2,nan,2,2,3,3,1\n", "line 2: the id nan is no whole number"),
        ("a.txt", "hello\n", "neither numbers"),
        ("a.txt", "1,1,2,2,3,3,1\n\0\0\0", "line 2: it is not text"),
        ("a.txt", "1 1 1 2 2 30 30 -1 -1\n1 1 1 2 2 30 30 -1\n", "line 2: it has 8 columns"),
        ("a.csv", "frame,track,x,y,w,h\n1,1,2,2,3,3\n1,1,2,2,3\n", "line 3: it has 5 columns"),
        ("a.csv", "frame,track,x,y,w,h\n1,b,2,2,3,3\n", "line 2: track: 'b' is no such number"),
        ("a.csv", "frame,track,x,y,w,h\n1,1,2,2,3,wide\n", "line 2: h: 'wide' is no such number"),
        ("a.csv", "frame,frame,x,y,w,h\n1,1,2,2,3,3\n", "neither numbers"),
        ("a.json", '{"videos": [],\n "images": [', "line 2"),
        ("a.json", '{"some": "thing"}', "neither TAO"),
        ("a.json", '[{"image_id": 1, "track_id": 2}]', "neither TAO"),
        ("a.json", "[" * 100_000, "no JSON that can be read"),
        ("a.json", '{"videos": [{"id": 1}], "images": [{"id": 1}], "annotations": []}', "video_id"),
        ("a.xml", "<annotations>\n<track id='1' label='a'>\n<box frame='1'/>", "line 3.*xtl"),
        ("a.xml", "<annotations>\n<track id='1' label='a'>", "line 2: it is no whole XML"),
        ("a.xml", "<html>\n</html>", "line 1: it begins with <html>"),
        ("a.xml", "<annotations><track id='x' label='a'/></annotations>", "no number"),
        ("a.xml", f"<annotations>{2 * TRACK}</annotations>", "two tracks with one id"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    with pytest.raises(EngineError, match=problem) as caught:
        read_text(tmp_path, text, name)
    assert caught.value.code is ErrorCode.BAD_FILE


def test_an_xml_bomb_does_not_go_off(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 1000}">' for n in range(12))
    tracemalloc.start()
    with pytest.raises(EngineError, match="line 1: it declares a document type"):
        read_text(
            tmp_path, f"<!DOCTYPE annotations [{entities}]><annotations>&e11;</annotations>", "bomb.xml"
        )
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_files_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_file, "MOST_BOXES", 3)
    with pytest.raises(EngineError, match="more than 3 boxes"):
        read_text(tmp_path, "1,1,2,2,3,3,1\n" * 4)
    with pytest.raises(EngineError, match="more than 3 boxes"):
        read_text(tmp_path, "frame,x,y,w,h\n" + "1,1,2,2,3\n" * 4)
    monkeypatch.setattr(track_file, "MOST_BOXES", 300)
    monkeypatch.setattr("engine.tracks.formats.csv_table.MOST_ROWS", 2)
    with pytest.raises(EngineError, match="more than 2 boxes"):
        read_text(tmp_path, "frame,x,y,w,h\n" + "1,1,2,2,3\n" * 4)
    monkeypatch.setattr(track_file, "MOST_BYTES", 10)
    for name, text in (("a.json", '[{"a": 1, "b": 2}]'), ("a.xml", "<annotations></annotations>")):
        with pytest.raises(EngineError, match="is larger than"):
            read_text(tmp_path, text, name)


def test_an_empty_file_is_a_camera_without_boxes(tmp_path: Path) -> None:
    found = read_text(tmp_path, "\n")
    assert (found.format, len(found.boxes), len(found.cameras)) == ("mot", 0, 1)


def test_folders_of_cityflow(tmp_path: Path) -> None:
    for name, row in (("c002", "1,7,1,1,5,5,1,-1,-1,-1"), ("c001", "3,7,1,1,5,5,1,-1,-1,-1")):
        (tmp_path / name / "gt").mkdir(parents=True)
        (tmp_path / name / "gt" / "gt.txt").write_text(f"{row}\n{row}\n")
    found = read_tracks(tmp_path)
    assert [camera.name for camera in found.cameras] == ["c001", "c002"]
    assert found.boxes.frames.tolist() == [2, 0]
    assert found.report.dropped[0].examples == ("c001: line 2",)
    with pytest.raises(EngineError, match="has no files of tracks"):
        read_tracks(tmp_path / "c001" / "gt" / "..")


def test_cameras_and_classes_follow_the_reference(tmp_path: Path) -> None:
    reference = TrackFile(Boxes.empty(), (Camera("c002"), Camera("c001")), {4: "van", 0: "car"})
    (tmp_path / "r.csv").write_text(
        "camera,frame,id,class,x,y,w,h\nc001,1,1,van,1,1,2,2\nc003,1,1,bus,1,1,2,2\n"
    )
    found = read_tracks(tmp_path / "r.csv", reference=reference)
    assert [camera.name for camera in found.cameras] == ["c002", "c001", "c003"]
    assert found.boxes.cameras.tolist() == [1, 2]
    assert found.boxes.classes.tolist() == [4, 5]
    (tmp_path / "r.txt").write_text("1 1 1 2 2 30 30 -1 -1\n")
    assert read_tracks(tmp_path / "r.txt", reference=reference).boxes.cameras.tolist() == [1]


def test_unknown_formats_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no format 'avi'"):
        read_tracks(tmp_path / "x", "avi")
    with pytest.raises(EngineError, match="cannot be read"):
        recognise(tmp_path / "x")
    (tmp_path / "file").write_text("")
    nothing = TrackFile(Boxes.empty(), (Camera("c"),))
    with pytest.raises(EngineError, match="cannot be written"):
        write_tracks(nothing, tmp_path / "file" / "x", "mot")
