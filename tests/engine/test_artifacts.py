"""Results on disk: complete or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from engine.artifacts import INCOMING, ArtifactStore, sidecar_name
from engine.errors import EngineError, ErrorCode
from engine.job import ArtifactRef

DATA = b"some bytes"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def manifest(job: str = "job", name: str = "image-0001", **details: object) -> dict[str, object]:
    return {"job": job, "name": name, **details}


def files(store: ArtifactStore) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def test_put_names_the_file_by_its_content(store):
    artifact = store.put(DATA, "image/png", manifest())
    digest = hashlib.sha256(DATA).hexdigest()
    assert artifact == ArtifactRef(digest, "image/png", len(DATA))
    assert store.path(artifact) == store.root / digest[:2] / f"{digest}.png"
    assert store.path(digest) == store.path(artifact)
    assert store.read(artifact) == DATA
    assert store.verify(artifact)


def test_an_unknown_media_type_is_stored_too(store):
    artifact = store.put(DATA, "application/x-unheard-of", manifest())
    assert store.path(artifact).suffix == ".bin"
    assert store.read(artifact) == DATA


def test_equal_bytes_are_stored_once_and_keep_a_manifest_for_each_job_and_name(store):
    owners = [("a", "1"), ("a", "2"), ("b", "1"), ("a", "1")]
    for job, name in owners:
        artifact = store.put(DATA, "image/png", manifest(job, name))
    assert len(files(store)) == 1 + 3
    assert {(r.manifest["job"], r.manifest["name"]) for r in store.stored()} == set(owners)
    assert {r.artifact for r in store.stored()} == {artifact}


def test_put_repairs_a_damaged_file(store):
    artifact = store.put(DATA, "image/png", manifest())
    store.path(artifact).write_bytes(b"SOME bytes")
    store.put(DATA, "image/png", manifest("other"))
    assert store.read(artifact) == DATA


@pytest.mark.parametrize("damage", [b"SOME bytes", b"some byte", b"", b"some bytes and more"])
def test_damage_is_noticed(store, damage):
    artifact = store.put(DATA, "image/png", manifest())
    store.path(artifact).write_bytes(damage)
    assert not store.verify(artifact)
    with pytest.raises(EngineError, match="damaged") as raised:
        store.read(artifact)
    assert raised.value.code is ErrorCode.BAD_FILE
    assert raised.value.hint


def test_a_missing_file_is_said_to_be_missing(store):
    artifact = ArtifactRef("0" * 64, "image/png", 3)
    assert not store.verify(artifact)
    with pytest.raises(EngineError, match="missing") as raised:
        store.read(artifact)
    assert raised.value.code is ErrorCode.BAD_FILE
    with pytest.raises(EngineError, match="missing"):
        store.path("0" * 64)


def test_names_of_results_may_hold_anything(store):
    for name in ("../../escape", "a/b", "x" * 500, "naïve ☃", "con", ""):
        store.put(DATA, "image/png", manifest(name=name))
    assert len(store.stored()) == 6
    assert all(Path(name).parts[0] in (INCOMING, store.path(store.stored()[0].artifact).parent.name)
               for name in files(store))  # fmt: skip


def test_settled_manifests_are_beside_the_bytes_and_found_on_request(store):
    artifact = store.put(DATA, "image/png", manifest())
    store.settle([sidecar_name(artifact, manifest())])
    assert store.stored() == []
    (found,) = store.stored(settled=True)
    assert (found.artifact, found.manifest) == (artifact, manifest())
    assert store.path(artifact.sha256) == store.path(artifact)
    store.settle([sidecar_name(artifact, manifest())])  # again: nothing to do
    assert len(store.stored(settled=True)) == 1


def test_stored_results_come_in_the_order_they_were_made(store, monkeypatch):
    clock = iter([30.0, 10.0, 20.0])
    monkeypatch.setattr("engine.artifacts.time.time", lambda: next(clock))
    for name in "abc":
        store.put(name.encode(), "image/png", manifest(name=name))
    assert [(found.manifest["name"], found.created) for found in store.stored()] == [
        ("b", 10.0), ("c", 20.0), ("a", 30.0),
    ]  # fmt: skip


def test_manifests_without_their_bytes_are_left_out_and_kept(store, caplog):
    artifact = store.put(DATA, "image/png", manifest())
    store.path(artifact).unlink()
    assert store.stored() == []
    assert "left out" in caplog.text
    assert len(list((store.root / INCOMING).iterdir())) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"artifact": {}, "manifest": 3}', "\x00\xff"])
def test_unreadable_manifests_do_no_harm(store, text, caplog):
    store.put(DATA, "image/png", manifest())
    bad = store.root / INCOMING / f"{'0' * 64}.0.manifest.json"
    bad.write_text(text, encoding="latin-1")
    assert len(store.stored()) == 1
    assert bad.name in caplog.text


# --- whatever happens while a result is written -------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process: nothing is cleaned up after it."""


@contextmanager
def failing_at(step: int, failure: BaseException) -> Iterator[list[str]]:
    """Let the ``step``-th operation of the file system raise instead; list those that began."""
    begun: list[str] = []

    def count(name, original):
        def operation(*args, **kwargs):
            begun.append(name)
            if len(begun) == step:
                raise failure
            if isinstance(failure, Killed) and len(begun) > step:
                raise failure  # a dead process does not clean up
            return original(*args, **kwargs)

        return operation

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (Path, "mkdir"), (Path, "open"), (Path, "replace"), (Path, "unlink"), (os, "fsync"),
        ):  # fmt: skip
            patch.setattr(owner, name, count(name, getattr(owner, name)))
        yield begun


def steps_of_a_put(folder: Path) -> int:
    with failing_at(-1, OSError()) as begun:
        ArtifactStore(folder).put(DATA, "image/png", manifest())
    return len(begun)


def error_of_put(store: ArtifactStore) -> EngineError | None:
    try:
        store.put(DATA, "image/png", manifest())
    except EngineError as error:
        return error
    return None


def check_all_or_nothing(store: ArtifactStore, saved_before: ArtifactRef | None) -> bool:
    """Check what is there after a failed put and a sweep; whether the result is there."""
    store.sweep()
    assert not [name for name in files(store) if name.endswith(".partial")]
    found = {result.manifest["name"]: result for result in store.stored()}
    for result in found.values():
        assert store.verify(result.artifact)
        assert result.manifest == manifest(name=result.manifest["name"])
    assert ("before" in found) == (saved_before is not None)
    return "image-0001" in found


@pytest.mark.parametrize("again", [False, True], ids=["first file", "equal bytes stored before"])
def test_a_kill_at_any_step_leaves_a_whole_result_or_nothing(tmp_path, again):
    outcomes = set()
    for step in range(1, steps_of_a_put(tmp_path / "counted") + 1):
        store = ArtifactStore(tmp_path / str(step))
        before = store.put(DATA, "image/png", manifest(name="before")) if again else None
        with failing_at(step, Killed()), suppress(Killed):  # equal bytes take fewer steps
            store.put(DATA, "image/png", manifest())
        outcomes.add(there := check_all_or_nothing(store, before))
        store.put(DATA, "image/png", manifest())
        assert check_all_or_nothing(store, before)
        if not (there or again):
            assert len(files(store)) == 2
    assert outcomes == {True, False}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_failing_disk_at_any_step_is_a_clear_error_and_costs_nothing_else(tmp_path, number):
    for step in range(1, steps_of_a_put(tmp_path / "counted") + 1):
        store = ArtifactStore(tmp_path / str(step))
        before = store.put(b"other", "image/png", manifest(name="before"))
        with failing_at(step, OSError(number, os.strerror(number))) as begun:
            error = error_of_put(store)
        if error is None:
            assert begun[step - 1 : step] in ([], ["unlink"])  # only tidying failed
        else:
            assert error.code is ErrorCode.INVALID_INPUT
            assert "not saved" in error.message
            assert error.hint
        check_all_or_nothing(store, before)
        assert store.read(before) == b"other"
        store.put(DATA, "image/png", manifest())
        assert check_all_or_nothing(store, before)


def test_the_messages_tell_a_full_disk_from_a_read_only_one(store):
    messages = []
    for number in (errno.ENOSPC, errno.EROFS):
        with failing_at(1, OSError(number, os.strerror(number))), pytest.raises(EngineError) as raised:
            store.put(DATA, "image/png", manifest())
        messages.append(raised.value.message)
    assert "full" in messages[0]
    assert "cannot be written" in messages[1]


def test_sweeping_removes_partial_files_and_nothing_else(store):
    artifact = store.put(DATA, "image/png", manifest())
    incoming = store.root / INCOMING
    (incoming / "0123.abc.partial").write_bytes(b"half")
    record = json.dumps({"artifact": artifact.to_json(), "created": 1.0, "manifest": manifest("late")})
    name = sidecar_name(artifact, manifest("late"))
    (incoming / f"{name}.abc.partial").write_text(record)
    (incoming / f"{sidecar_name(artifact, manifest('cut'))}.abc.partial").write_text(record[:-5])
    assert store.sweep() == 2
    assert {found.manifest["job"] for found in store.stored()} == {"job", "late"}
    assert store.sweep() == 0


def test_sweeping_where_nothing_was_stored_yet(store):
    assert store.sweep() == 0
    assert store.stored(settled=True) == []
    assert not store.root.exists()


def test_a_file_that_an_orphaned_writer_finishes_during_the_sweep_is_no_error(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(tmp_path)
    artifact = store.put(b"bytes", "image/png", {"job": "j", "name": "n"})
    unfinished = tmp_path / "incoming" / "0.1.partial"
    unfinished.write_bytes(b"half")
    unlink = Path.unlink

    def finished_just_before(path: Path, missing_ok: bool = False) -> None:
        path.rename(path.with_suffix(".done"))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", finished_just_before)
    assert store.sweep() == 0
    assert store.verify(artifact)
