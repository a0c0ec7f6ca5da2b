"""Poses, casts, measures and exports bodies while the user's hand moves.

A :class:`Poser` keeps the bodies that are on the screen by a key, so that a request is small and its
answer comes within a frame or two. The window talks to one in a process of its own (see
:mod:`engine.bodies.poser_child`): jobs that take minutes do not stand in its way, nor it in theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.bodies.body_model import BodyModel, PosedBody, load_builtin_body, vertex_normals
from engine.bodies.export import export_bodies
from engine.bodies.keypoints.person import Mask, Person
from engine.bodies.measure import measure
from engine.bodies.occlusion import Stroke, with_hidden
from engine.bodies.poser_lab import LabDesk
from engine.bodies.record import Camera, RecoveredPerson, Recovery, read_recoveries
from engine.bodies.recover import recover_person
from engine.bodies.render import Caster, Mesh, View, over
from engine.bodies.skeleton import JOINT_NAMES, PARENTS
from engine.bodies.still import rendered_still
from engine.errors import invalid_input
from engine.video_writing import write_video

_SOLVING = ("solve", "export_all")
GHOST_ALPHA = 0.3
TURNTABLE_FPS = 30

Values = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Kept:
    """A body on the screen."""

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]


class Poser:
    """Answers requests; see the methods, each of which is one.

    Parameters
    ----------
    body
        The built-in one where none is given.
    """

    def __init__(self, body: BodyModel | None = None) -> None:
        self.body: BodyModel = load_builtin_body() if body is None else body
        self._faces = self.body.faces.cpu().numpy()
        self._kept: dict[int, _Kept] = {}
        self._lab = LabDesk()
        self._requests: dict[str, Callable[[Values], dict[str, Any]]] = {
            "load": self.load,
            "solve": self.solve,
            "pose": self.pose,
            "measure": self.measure,
            "parts": self.parts,
            "reshape": self.reshape,
            "cast": self.cast,
            "still": self.still,
            "overlay": self.overlay,
            "pick": self.pick,
            "distance": self.distance,
            "export": self.export,
            "export_all": self.export_all,
            "turntable": self.turntable,
            "lab_open": lambda r: self._lab.open(r, _person(r), _camera(r["camera"])),
            "lab_widen": lambda r: self._lab.widen(r),
            "lab_save": lambda r: self._lab.save(r, _person(r), _camera(r["camera"])),
        }

    def answer(self, request: Values) -> dict[str, Any]:
        """The answer to a request ``{"do": name, ...}``.

        Raises
        ------
        EngineError
            As the request's method says; ``invalid_input`` for an unknown one.
        """
        known = self._requests.get(str(request.get("do")))
        if known is None:
            raise invalid_input(f"The poser has no request {request.get('do')!r}.")
        with torch.enable_grad() if request["do"] in _SOLVING else torch.no_grad():
            return known(request)

    def load(self, request: Values) -> dict[str, Any]:
        """What does not change: faces, the joint that owns each vertex, names, parents."""
        return {
            "name": self.body.name,
            "licence": self.body.licence,
            "faces": self._faces.astype(np.int32),
            "parts": self.body.joint_weights.argmax(1).cpu().numpy().astype(np.uint8),
            "joint_names": list(JOINT_NAMES),
            "parents": list(PARENTS),
            "shape_size": self.body.shape_size,
        }

    def solve(self, request: Values) -> dict[str, Any]:
        """Recover one person from keypoints and keep the body under ``key``.

        ``person`` holds what :class:`~engine.bodies.keypoints.person.Person` has, but ``keypoints``,
        ``world``, ``mask`` and ``mask_to_image`` are arrays of their own; also ``camera``, ``method``,
        ``height`` in metres or None, and ``shape`` where it is given.
        """
        started = time.monotonic()
        person = _person(request)
        shape = request.get("shape")
        found = recover_person(
            person,
            _camera(request["camera"]),
            self.body,
            method=str(request["method"]),
            height=request.get("height"),
            shape=None if shape is None else torch.from_numpy(np.array(shape, np.float32))[None],
        )
        shown = self._keep(int(request["key"]), found.shape, found.rotations, found.translation)
        return {
            "method": found.method,
            "shape": found.shape,
            "rotations": found.rotations,
            "translation": found.translation,
            "joints": found.joints,
            "error_px": found.error_px,
            "error_share": found.error_share,
            "notes": list(found.notes),
            "doubt": list(found.doubt),
            "guessed": list(found.guessed),
            "seconds": time.monotonic() - started,
            **shown,
        }

    def pose(self, request: Values) -> dict[str, Any]:
        """Pose a body of ``shape``, ``rotations`` and ``translation``; keep it under ``key``."""
        return self._keep(
            int(request["key"]), request["shape"], request["rotations"], request["translation"]
        )

    def measure(self, request: Values) -> dict[str, Any]:
        """Height, girths and bones of a ``shape``, metres, and where the girths are taken."""
        measured = measure(self.body, torch.from_numpy(np.array(request["shape"], np.float32))[None])
        outlines = {f"outline_{n}": g.outline.astype(np.float32) for n, g in measured.girths.items()}
        return {
            "height": measured.height,
            "girths": {name: girth.length for name, girth in measured.girths.items()},
            "bones": dict(measured.bones),
            **outlines,
        }

    def parts(self, request: Values) -> dict[str, Any]:
        """Lengths and widths of the parts of a ``shape``, and of the mean adult's, metres."""
        from engine.bodies import reshape

        own = reshape.plain(reshape.part_sizes(_row(request["shape"])))
        usual = reshape.plain(reshape.mean_sizes())
        return {
            "names": list(reshape.PART_NAMES),
            **own,
            **{f"mean_{name}": values for name, values in usual.items()},
            "mean_shape": _first(reshape.mean_shape()),
        }

    def reshape(self, request: Values) -> dict[str, Any]:
        """A ``shape`` with parts of other ``sizes`` of a ``kind``; posed and kept as by :meth:`pose`.

        ``locked`` are pairs of kind and part that stay.
        """
        from engine.bodies import reshape

        made = reshape.reshaped(
            _row(request["shape"]),
            request["kind"],
            {str(part): float(size) for part, size in request["sizes"].items()},
            [(kind, part) for kind, part in request["locked"]],
        )
        shape = _first(made)
        shown = self._keep(int(request["key"]), shape, request["rotations"], request["translation"])
        return {"shape": shape, **reshape.plain(reshape.part_sizes(made)), **shown}

    def cast(self, request: Values) -> dict[str, Any]:
        """A picture of kept ``bodies`` from ``eye`` to ``target``: ``pixels`` (h, w, 4) RGBA."""
        return {"pixels": self._paint(request, _view(request))}

    def still(self, request: Values) -> dict[str, Any]:
        """The same for keeps: by Open3D's renderer where there is a driver, else by rays."""
        view = _view(request)
        meshes = [self._mesh(int(body["key"]), body["colour"]) for body in request["bodies"]]
        pixels = rendered_still(meshes, view)
        if pixels is not None:
            return {"pixels": pixels, "renderer": "Open3D"}
        return {"pixels": self._paint({**request, "samples": 3}, view), "renderer": "rays"}

    def overlay(self, request: Values) -> dict[str, Any]:
        """The same through the photo's ``camera``, in a picture ``width`` wide."""
        camera = _camera(request["camera"])
        view = View.pinhole(camera.focal, camera.centre, camera.width, camera.height)
        return {"pixels": self._paint(request, view.scaled(int(request["width"]) / camera.width))}

    def pick(self, request: Values) -> dict[str, Any]:
        """What is at ``x`` and ``y`` of a view: key, vertex, joint and point; nothing: empty."""
        keys = [int(key) for key in request["keys"] if int(key) in self._kept]
        found = Caster([self._mesh(key) for key in keys]).pick(
            _view(request), float(request["x"]), float(request["y"])
        )
        if found is None:
            return {}
        joint = int(self.body.joint_weights[found.vertex].argmax())
        return {
            "key": keys[found.mesh],
            "vertex": found.vertex,
            "joint": joint,
            "point": [float(value) for value in found.point],
        }

    def distance(self, request: Values) -> dict[str, Any]:
        """How far each vertex of body ``first`` is from the same of ``second``, ``mm`` (V,).

        The pelvises are laid on each other first: where the camera puts them is another question.
        """
        first, second = (self._kept[int(request[name])] for name in ("first", "second"))
        offset = np.asarray(request["offset"], np.float32)
        apart = np.linalg.norm(first.vertices - second.vertices - offset, axis=1)
        return {"mm": (1000 * apart).astype(np.float32)}

    def export(self, request: Values) -> dict[str, Any]:
        """Write a recovery's people in ``formats`` to ``folder`` as ``stem``; the ``files``."""
        camera = _camera(request["camera"])
        people = tuple(
            _recovered(request, f"p{index}_", about) for index, about in enumerate(request["people"])
        )
        recovery = Recovery(
            picture=str(request["picture"]),
            width=camera.width,
            height=camera.height,
            camera=camera,
            body=self.body.name,
            people=people,
        )
        files = export_bodies(
            [recovery], self.body, Path(request["folder"]), str(request["stem"]), request["formats"]
        )
        return {"files": [str(path) for path in files]}

    def export_all(self, request: Values) -> dict[str, Any]:
        """Write all frames of the result in file ``path``, like :meth:`export`.

        ``edits`` are corrected keypoints by ``"FRAME:PERSON"``, both counted in the file, ``shapes``
        likewise shapes by hand, ``paintings`` likewise what is painted as hidden (``strokes`` and the
        ``method`` that knows of it); ``height`` is that of :meth:`solve`, ``fps`` of
        :func:`~engine.bodies.export.export_bodies`.
        """
        recoveries = list(read_recoveries(Path(request["path"])))
        edits, shapes = request["edits"], request.get("shapes", {})
        paintings = request.get("paintings", {})
        for key in {**edits, **shapes, **paintings}:
            frame, at = (int(part) for part in key.split(":"))
            people = list(recoveries[frame].people)
            corrected = people[at].person
            if key in edits:
                corrected = replace(corrected, keypoints=np.array(edits[key], np.float64))
            method = people[at].method
            if key in paintings:
                strokes = [Stroke.from_json(one) for one in paintings[key]["strokes"]]
                corrected, method = with_hidden(corrected, strokes), paintings[key]["method"]
            shape = shapes.get(key)
            people[at] = recover_person(
                corrected,
                recoveries[frame].camera,
                self.body,
                method=method,
                height=request.get("height"),
                shape=None if shape is None else _row(shape),
            )
            recoveries[frame] = replace(recoveries[frame], people=tuple(people))
        files = export_bodies(
            recoveries,
            self.body,
            Path(request["folder"]),
            str(request["stem"]),
            request["formats"],
            float(request["fps"]),
        )
        return {"files": [str(path) for path in files]}

    def turntable(self, request: Values) -> dict[str, Any]:
        """Write a film of kept bodies turning once, MP4, to ``path``."""
        frames = int(request["frames"])
        view = _view(request)
        eye, target = np.array(request["eye"], np.float64), np.array(request["target"], np.float64)
        caster = Caster([self._mesh(int(b["key"]), b["colour"]) for b in request["bodies"]])

        def turned(frame: int) -> NDArray[np.uint8]:
            angle = 2 * np.pi * frame / frames
            x, y, z = eye - target
            c, s = np.cos(angle), np.sin(angle)
            place = target + np.array([x * c + z * s, y, z * c - x * s])
            here = View.look_at(
                place.tolist(), target.tolist(), float(request["fov"]), view.width, view.height
            )
            return caster.paint(here, request["background"], samples=2)[..., :3]

        write_video(Path(request["path"]), (turned(f) for f in range(frames)), TURNTABLE_FPS)
        return {"files": [str(request["path"])]}

    # --- parts ------------------------------------------------------------------------------------

    def _keep(
        self, key: int, shape: NDArray[Any], rotations: NDArray[Any], translation: NDArray[Any]
    ) -> dict[str, Any]:
        with torch.no_grad():
            posed = self.body.posed(_row(shape), _row(rotations), _row(translation))
            kept = _Kept(_first(posed.vertices), self._normals(posed))
        self._kept[key] = kept
        joints = _first(posed.joints)
        return {"key": key, "vertices": kept.vertices, "normals": kept.normals, "joints": joints}

    def _normals(self, posed: PosedBody) -> NDArray[np.float32]:
        return _first(vertex_normals(posed.vertices, self.body.faces))

    def _mesh(self, key: int, colour: Any = (200, 200, 200), alpha: float = 1.0) -> Mesh:
        kept = self._kept.get(key)
        if kept is None:
            raise invalid_input(f"There is no body {key} on the screen.")
        return Mesh(kept.vertices, self._faces, np.asarray(colour, np.uint8), kept.normals, alpha)

    def _paint(self, request: Values, view: View) -> NDArray[np.uint8]:
        """Kept bodies; those with a ``colours_KEY`` array by vertex, ghosts behind and in front."""
        solid: list[Mesh] = []
        ghosts: list[Mesh] = []
        for about in request["bodies"]:
            key = int(about["key"])
            if key in self._kept:
                colour = request.get(f"colours_{key}", about.get("colour"))
                ghost = bool(about.get("ghost"))
                made = self._mesh(key, colour, GHOST_ALPHA if ghost else 1.0)
                (ghosts if ghost else solid).append(made)
        samples = int(request.get("samples", 1))
        wires = bool(request.get("wireframe", False))
        background = request.get("background")
        picture = Caster(solid).paint(view, None, samples, wires)
        for one in ghosts:
            picture = over(Caster([one]).paint(view, None, samples, wires), picture)
        if background is None:
            return picture
        return over(picture, np.broadcast_to(np.array([*background, 255], np.uint8), picture.shape))


def _person(request: Values) -> Person:
    about = request["person"]
    world, mask = request.get("world"), request.get("mask")
    return Person(
        keypoints=np.array(request["keypoints"], np.float64),
        layout=str(about["layout"]),
        box=np.array(about["box"], np.float64),
        score=float(about["score"]),
        mask=None if mask is None else Mask(np.array(mask), np.array(request["mask_to_image"])),
        world=None if world is None else np.array(world, np.float64),
        identity=about.get("identity"),
    )


def _recovered(request: Values, prefix: str, about: Values) -> RecoveredPerson:
    arrays = {
        name: np.array(request[f"{prefix}{name}"], np.float32)
        for name in ("shape", "rotations", "translation", "joints")
    }
    values = {"person": about["person"], "keypoints": request[f"{prefix}keypoints"]}
    values["world"] = request.get(f"{prefix}world")
    return RecoveredPerson(
        person=_person(values),
        method=str(about["method"]),
        error_px=float(about["error_px"]),
        error_share=float(about["error_share"]),
        notes=tuple(about["notes"]),
        doubt=tuple(about["doubt"]),
        guessed=tuple(about["guessed"]),
        **arrays,
    )


def _camera(about: Values) -> Camera:
    centre = about["centre"]
    return Camera(
        width=int(about["width"]),
        height=int(about["height"]),
        focal=float(about["focal"]),
        centre=(float(centre[0]), float(centre[1])),
        source=about["source"],
    )


def _view(request: Values) -> View:
    return View.look_at(
        request["eye"],
        request["target"],
        float(request["fov"]),
        int(request["width"]),
        int(request["height"]),
    )


def _row(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))[None]


def _first(values: Tensor) -> NDArray[np.float32]:
    return np.asarray(values[0].cpu().numpy(), np.float32)
