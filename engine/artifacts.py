"""Results on disk: files named by their content, each with the manifest of what made it.

Layout below the root::

    ab/abcdef....png                         the bytes, named by their SHA-256
    ab/abcdef....<key>.manifest.json         what made them, one for each job and result name
    incoming/abcdef....<key>.manifest.json   the same, until it is surely in the database
    incoming/*.partial                       being written

Who writes results (the engine process) needs only this folder, not the database. Manifests wait in
``incoming`` so that opening a project looks at a handful of files, however many results it has;
those beside the bytes are kept for good, so that a lost database can be rebuilt from them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError, bad_file, invalid_input
from engine.job import ArtifactRef

log = logging.getLogger("triptych.artifacts")

INCOMING = "incoming"
SIDECAR_SUFFIX = ".manifest.json"
PARTIAL_SUFFIX = ".partial"

# Fixed here and not taken from `mimetypes`: a stored file's name must not depend on the system.
_EXTENSIONS = {
    "application/json": ".json",
    "application/x-npz": ".npz",
    "application/x-onnx": ".onnx",
    "application/x-safetensors": ".safetensors",
    "application/zip": ".zip",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/webp": ".webp",
    "model/gltf-binary": ".glb",
    "model/obj": ".obj",
    "model/ply": ".ply",
    "text/csv": ".csv",
    "text/plain": ".txt",
    "video/mp4": ".mp4",
}


@dataclass(frozen=True)
class StoredResult:
    """A complete result on disk: its bytes and its manifest."""

    artifact: ArtifactRef
    manifest: Mapping[str, Any]
    created: float
    """Unix seconds."""


class ArtifactStore:
    """Content-addressed files below ``root``. Safe from several threads and processes at once.

    Parameters
    ----------
    root
        The folder; made by the first :meth:`put`.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def put(self, data: bytes, media_type: str, manifest: Mapping[str, Any]) -> ArtifactRef:
        """Store bytes and manifest durably; return the reference.

        When this returns, the result survives a kill and a power cut; when it does not (killed,
        raised), :meth:`sweep` and :meth:`stored` find the complete result or nothing. Equal bytes are
        stored once; each ``manifest["job"]`` and ``manifest["name"]`` keeps its own manifest.

        Raises
        ------
        EngineError
            ``invalid_input`` when the disk is full or read-only.
        """
        artifact = ArtifactRef(hashlib.sha256(data).hexdigest(), media_type, len(data))
        record = {"artifact": artifact.to_json(), "created": time.time(), "manifest": dict(manifest)}
        target = self.path(artifact)
        sidecar = self.root / INCOMING / sidecar_name(artifact, manifest)
        token = uuid.uuid4().hex[:12]
        partial_sidecar = sidecar.with_name(f"{sidecar.name}.{token}{PARTIAL_SUFFIX}")
        partial_data = sidecar.with_name(f"{artifact.sha256}.{token}{PARTIAL_SUFFIX}")
        try:
            _make_folder(sidecar.parent)
            _make_folder(target.parent)
            # The manifest is complete before the bytes get their name: whoever finds named bytes
            # and a partial manifest (see `sweep`) has the whole result.
            _write_synced(partial_sidecar, json.dumps(record).encode())
            if not self.verify(artifact):
                _write_synced(partial_data, data)
                partial_data.replace(target)
                _sync_folder(target.parent)
            partial_sidecar.replace(sidecar)
            _sync_folder(sidecar.parent)
        except OSError as error:
            raise storage_error(error, self.root, "The result was not saved") from error
        finally:
            for leftover in (partial_sidecar, partial_data):
                with contextlib.suppress(OSError):
                    leftover.unlink(missing_ok=True)
        return artifact

    def path(self, artifact: ArtifactRef | str) -> Path:
        """Where an artifact is, given its reference or only its SHA-256.

        Raises
        ------
        EngineError
            ``bad_file`` when only the SHA-256 is given and no such file is stored.
        """
        if isinstance(artifact, ArtifactRef):
            extension = _EXTENSIONS.get(artifact.media_type, ".bin")
            return self.root / artifact.sha256[:2] / f"{artifact.sha256}{extension}"
        for path in (self.root / artifact[:2]).glob(f"{artifact}.*"):
            if not path.name.endswith(SIDECAR_SUFFIX):
                return path
        raise _missing(self.root / artifact[:2] / artifact)

    def read(self, artifact: ArtifactRef) -> bytes:
        """The bytes, checked against their SHA-256.

        Raises
        ------
        EngineError
            ``bad_file`` when the file is missing, unreadable or not what was stored.
        """
        path = self.path(artifact)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise _missing(path) from error
        except OSError as error:
            raise bad_file(
                f"The stored file {path.name} cannot be read: {error.strerror}. It was not changed.",
                "Check the disk and the file's permissions, or make the result again with Run again.",
            ) from error
        if hashlib.sha256(data).hexdigest() != artifact.sha256:
            raise bad_file(
                f"The stored file {path.name} is damaged: its content is not what was saved.",
                "Make the result again with Run again, or restore the file from a backup.",
                detail=f"{path}: {len(data)} bytes, {artifact.size} expected",
            )
        return data

    def verify(self, artifact: ArtifactRef) -> bool:
        """Whether the file is there and its bytes are what was stored."""
        path = self.path(artifact)
        try:
            if path.stat().st_size != artifact.size:
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256
        except OSError:
            return False

    def sweep(self) -> int:
        """Clear up after writers that were killed; return how many partial files were removed.

        Call it only while no one writes here; the project's lock sees to that. (An engine process
        that a killed window left behind may still be writing its last result: it loses that one, or
        finishes it under our eyes, and then it is stored like any other.)

        Raises
        ------
        EngineError
            ``invalid_input`` when the folder cannot be written.
        """
        removed = 0
        try:
            for partial in sorted((self.root / INCOMING).glob(f"*{PARTIAL_SUFFIX}")):
                name, is_sidecar, _ = partial.name.partition(SIDECAR_SUFFIX)
                with contextlib.suppress(FileNotFoundError):  # finished meanwhile, see above
                    if is_sidecar and self._read_sidecar(partial, quiet=True):
                        partial.replace(partial.with_name(name + SIDECAR_SUFFIX))
                    else:
                        partial.unlink()
                        removed += 1
        except OSError as error:
            raise storage_error(error, self.root, "Nothing was lost") from error
        return removed

    def stored(self, *, settled: bool = False) -> list[StoredResult]:
        """Complete results that are not settled, or really all, oldest first."""
        sidecars = list((self.root / INCOMING).glob(f"*{SIDECAR_SUFFIX}"))
        if settled:
            sidecars += self.root.glob(f"[0-9a-f][0-9a-f]/*{SIDECAR_SUFFIX}")
        results = [result for path in sidecars if (result := self._read_sidecar(path))]
        return sorted(results, key=lambda result: result.created)

    def settle(self, names: Iterable[str]) -> None:
        """Move manifests (by :func:`sidecar_name`) that are durably in the database beside the bytes.

        Mere tidying: one that cannot be moved is found again when the project is opened next.
        """
        for name in names:
            try:
                (self.root / INCOMING / name).replace(self.root / name[:2] / name)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("the manifest %s stays in %s: %s", name, INCOMING, error)

    def _read_sidecar(self, path: Path, *, quiet: bool = False) -> StoredResult | None:
        """The result a manifest belongs to; None when manifest or bytes are incomplete."""
        try:
            record = json.loads(path.read_bytes())
            artifact = ArtifactRef.from_json(record["artifact"])
            result = StoredResult(artifact, dict(record["manifest"]), float(record["created"]))
            if self.path(artifact).stat().st_size == artifact.size:
                return result
            problem = "the bytes are damaged"
        except (OSError, KeyError, TypeError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        if not quiet:
            log.warning("left out the result of %s: %s", path.name, problem)
        return None


def sidecar_name(artifact: ArtifactRef, manifest: Mapping[str, Any]) -> str:
    """File name of a manifest: unique for bytes, job and result name, safe on every file system."""
    owner = json.dumps([manifest.get("job", ""), manifest.get("name", "")])
    key = hashlib.sha256(owner.encode()).hexdigest()[:16]
    return f"{artifact.sha256}.{key}{SIDECAR_SUFFIX}"


def storage_error(error: OSError, path: Path, consequence: str) -> EngineError:
    """What to tell the user when ``path`` cannot be written. ``consequence`` is about their data."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        message = f"The disk with {path} is full. {consequence}; what was saved before is kept."
        hint = "Free some space, then try again."
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        message = f"{path} cannot be written: {error.strerror}. {consequence}."
        hint = "Allow writing there, or use a project in another folder."
    else:
        message = f"Writing to {path} failed: {error.strerror or error}. {consequence}."
        hint = "Check that the disk is connected and healthy, then try again."
    result = invalid_input(message, hint)
    result.detail = f"{type(error).__name__}: {error}"
    return result


def _missing(path: Path) -> EngineError:
    return bad_file(
        f"The stored file {path.name} is missing; it was moved or deleted outside Triptych.",
        "Make the result again with Run again, or restore the file from a backup.",
        detail=str(path),
    )


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
