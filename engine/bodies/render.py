"""Meshes to pixels by casting rays on the CPU (Open3D): pictures, silhouettes, depth, picking.

No OpenGL, display or GPU is needed. World y-up; views look as OpenCV's cameras do: x right, y down,
z ahead. Positions in a picture are counted from the outer corner of the top left pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import open3d as o3d
from numpy.typing import NDArray

from engine.errors import invalid_input

Float32 = NDArray[np.float32]

MOST_FACES = 10_000_000
"""More are refused: ray casting keeps about 100 bytes of each."""

_NOTHING = np.uint32(0xFFFFFFFF)
# Towards the light, in the camera's axes: from the upper left, behind the viewer.
_LIGHT = np.array([-0.35, -0.55, -0.76], np.float32)
_AMBIENT, _DIFFUSE, _RIM = 0.42, 0.55, 0.10


@dataclass(frozen=True, eq=False)
class View:
    """A pinhole camera somewhere in the world.

    Attributes
    ----------
    intrinsic
        ``(3, 3)`` float64, pixels.
    extrinsic
        ``(4, 4)`` float64, from the world to the camera.
    width, height
        Of the picture, pixels.
    """

    intrinsic: NDArray[np.float64]
    extrinsic: NDArray[np.float64]
    width: int
    height: int

    @classmethod
    def pinhole(cls, focal: float, centre: tuple[float, float], width: int, height: int) -> View:
        """The camera of a photo: at the origin, looking along -z of the y-up world."""
        intrinsic = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1.0]])
        return cls(intrinsic, np.diag([1.0, -1.0, -1.0, 1.0]), width, height)

    @classmethod
    def look_at(
        cls,
        eye: Sequence[float],
        target: Sequence[float],
        fov: float,
        width: int,
        height: int,
        up: Sequence[float] = (0, 1, 0),
    ) -> View:
        """From a point to another; ``fov`` is the vertical field of view in degrees."""
        place = np.asarray(eye, np.float64)
        ahead = np.asarray(target, np.float64) - place
        ahead /= np.linalg.norm(ahead)
        right = np.cross(ahead, np.asarray(up, np.float64))
        right /= np.linalg.norm(right)
        extrinsic = np.eye(4)
        extrinsic[:3, :3] = np.stack([right, np.cross(ahead, right), ahead])
        extrinsic[:3, 3] = -extrinsic[:3, :3] @ place
        focal = height / 2 / np.tan(np.radians(fov) / 2)
        intrinsic = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
        return cls(intrinsic, extrinsic, width, height)

    def scaled(self, factor: float) -> View:
        """The same view in a picture ``factor`` times as large, at least one pixel."""
        width, height = max(1, round(self.width * factor)), max(1, round(self.height * factor))
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return replace(self, intrinsic=scale @ self.intrinsic, width=width, height=height)

    @property
    def eye(self) -> NDArray[np.float64]:
        """Where the camera is in the world, ``(3,)``."""
        return np.asarray(-self.extrinsic[:3, :3].T @ self.extrinsic[:3, 3])

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixels ``(N, 2)`` of points ``(N, 3)`` in front of the camera."""
        seen = points @ self.extrinsic[:3, :3].T + self.extrinsic[:3, 3]
        flat = seen @ self.intrinsic.T
        return np.asarray(flat[:, :2] / flat[:, 2:], np.float64)


@dataclass(frozen=True, eq=False)
class Mesh:
    """What is drawn.

    Attributes
    ----------
    vertices
        ``(V, 3)`` float32, world, metres.
    faces
        ``(F, 3)`` integers.
    colours
        ``(3,)`` or ``(V, 3)`` uint8.
    normals
        ``(V, 3)`` float32 for smooth shading; flat without.
    alpha
        How much of what is behind it it covers.
    """

    vertices: Float32
    faces: NDArray[np.integer]
    colours: NDArray[np.uint8]
    normals: Float32 | None = None
    alpha: float = 1.0


@dataclass(frozen=True, eq=False)
class Hits:
    """What the ray through the middle of each pixel meets first.

    Attributes
    ----------
    mesh, face
        ``(h, w)`` int64: which, or -1.
    corners
        ``(h, w, 3)`` float32: barycentric coordinates in the face.
    depth
        ``(h, w)`` float32: along the camera's axis, metres; infinite where nothing is.
    """

    mesh: NDArray[np.int64]
    face: NDArray[np.int64]
    corners: Float32
    depth: Float32


class Caster:
    """A scene of meshes that rays are cast into; making it costs some milliseconds.

    Raises
    ------
    EngineError
        ``invalid_input`` when a mesh is none, is not finite, or all have more than
        :data:`MOST_FACES` faces.
    """

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        count = sum(len(mesh.faces) for mesh in meshes)
        if count > MOST_FACES:
            raise invalid_input(
                f"The mesh has {count:,} faces, more than the {MOST_FACES:,} that are drawn here.",
                "Reduce it in a mesh editor first (Blender: Decimate).",
            )
        self.meshes = tuple(meshes)
        self._scene = o3d.t.geometry.RaycastingScene()
        for mesh in meshes:
            _check(mesh)
            self._scene.add_triangles(
                o3d.core.Tensor.from_numpy(np.ascontiguousarray(mesh.vertices, np.float32)),
                o3d.core.Tensor.from_numpy(np.ascontiguousarray(mesh.faces, np.uint32)),
            )

    def cast(self, view: View) -> Hits:
        """Look at the scene."""
        rays = o3d.t.geometry.RaycastingScene.create_rays_pinhole(
            o3d.core.Tensor.from_numpy(view.intrinsic),
            o3d.core.Tensor.from_numpy(view.extrinsic),
            view.width,
            view.height,
        )
        if not self.meshes:
            none = np.full((view.height, view.width), -1, np.int64)
            far = np.full(none.shape, np.inf, np.float32)
            return Hits(none, none, np.zeros((*none.shape, 3), np.float32), far)
        found = self._scene.cast_rays(rays)
        mesh = found["geometry_ids"].numpy()
        seen = mesh != _NOTHING
        uv = found["primitive_uvs"].numpy()
        corners = np.concatenate([1 - uv.sum(-1, keepdims=True), uv], -1)
        # Directions of the rays have a component of 1 along the axis, so the distance is the depth.
        return Hits(
            np.where(seen, mesh, 0).astype(np.int64) - ~seen,
            np.where(seen, found["primitive_ids"].numpy(), 0).astype(np.int64) - ~seen,
            np.where(seen[..., None], corners, 0).astype(np.float32),
            found["t_hit"].numpy(),
        )

    def paint(
        self,
        view: View,
        background: Sequence[int] | None = None,
        samples: int = 1,
        wireframe: bool = False,
    ) -> NDArray[np.uint8]:
        """A shaded picture ``(h, w, 4)`` uint8 RGBA; transparent where there is no background.

        ``samples`` rays in x and in y for each pixel smooth the edges; ``wireframe`` leaves only the
        edges of the faces that are in front.
        """
        large = view.scaled(samples) if samples > 1 else view
        rgba = self._shaded(large, wireframe)
        if samples > 1:
            rgba = rgba.reshape(view.height, samples, view.width, samples, 4).mean((1, 3))
        alpha = rgba[..., 3:]
        if background is not None:
            ground = np.asarray(background, np.float32)
            rgba = np.concatenate([rgba[..., :3] + (1 - alpha) * ground, np.ones_like(alpha)], -1)
        else:
            rgba = np.concatenate([rgba[..., :3] / np.maximum(alpha, 1e-6), alpha], -1)
        rgba[..., 3] *= 255
        return np.clip(rgba + 0.5, 0, 255).astype(np.uint8)

    def _shaded(self, view: View, wireframe: bool) -> Float32:
        """Colours times coverage, and coverage, ``(h, w, 4)`` float32."""
        hits = self.cast(view)
        result = np.zeros((view.height, view.width, 4), np.float32)
        rotation = view.extrinsic[:3, :3].astype(np.float32)
        for index, mesh in enumerate(self.meshes):
            seen = hits.mesh == index
            if not seen.any():
                continue
            corners, weights = mesh.faces[hits.face[seen]], hits.corners[seen]
            normals = _normals(mesh, corners, weights[..., None]) @ rotation.T
            # Faces that are seen from behind are lit as if from the front.
            normals *= np.where(normals[:, 2:] > 0, -1, 1)
            lit = np.clip(normals @ _LIGHT, 0, None)
            rim = (1 + normals[:, 2]) ** 3
            light = _AMBIENT + _DIFFUSE * lit + _RIM * rim
            colours = np.broadcast_to(mesh.colours, mesh.vertices.shape)[corners]
            colour = (colours.astype(np.float32) * weights[..., None]).sum(1)
            cover = np.full(len(corners), mesh.alpha, np.float32)
            if wireframe:
                pixel = hits.depth[seen] / view.intrinsic[1, 1]
                cover *= _distance_to_edges(mesh, corners, weights) < 0.6 * pixel
            result[seen, :3] = np.clip(colour * light[:, None], 0, 255) * cover[:, None]
            result[seen, 3] = cover
        return result

    def silhouette(self, view: View) -> NDArray[np.bool_]:
        """Where something is seen, ``(h, w)``."""
        return np.asarray(self.cast(view).mesh >= 0)

    def pick(self, view: View, x: float, y: float) -> Pick | None:
        """What is at a position of the picture."""
        direction = np.linalg.inv(view.intrinsic) @ [x, y, 1.0] @ view.extrinsic[:3, :3]
        ray = np.concatenate([view.eye, direction]).astype(np.float32)[None]
        found = self._scene.cast_rays(o3d.core.Tensor.from_numpy(ray))
        mesh = found["geometry_ids"].numpy()[0]
        if mesh == _NOTHING:
            return None
        face = int(found["primitive_ids"].numpy()[0])
        u, v = found["primitive_uvs"].numpy()[0]
        vertex = int(self.meshes[mesh].faces[face][np.argmax([1 - u - v, u, v])])
        point = ray[0, :3] + ray[0, 3:] * found["t_hit"].numpy()[0]
        return Pick(int(mesh), face, vertex, point)


@dataclass(frozen=True, eq=False)
class Pick:
    """A point of a mesh: which mesh, face and nearest vertex, and where in the world, ``(3,)``."""

    mesh: int
    face: int
    vertex: int
    point: Float32


def _normals(mesh: Mesh, corners: NDArray[np.integer], weights: Float32) -> Float32:
    if mesh.normals is not None:
        normals = (mesh.normals[corners] * weights).sum(1)
    else:
        first, second, third = (mesh.vertices[corners[:, k]] for k in range(3))
        normals = np.cross(second - first, third - first)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-12), np.float32)


def _distance_to_edges(mesh: Mesh, corners: NDArray[np.integer], weights: Float32) -> Float32:
    """How far points in faces are from the nearest edge, ``(N,)`` metres."""
    first, second, third = (mesh.vertices[corners[:, k]] for k in range(3))
    double_area = np.linalg.norm(np.cross(second - first, third - first), axis=1)
    opposite = [third - second, third - first, second - first]
    lengths = np.stack([np.linalg.norm(edge, axis=1) for edge in opposite], 1)
    heights = double_area[:, None] / np.maximum(lengths, 1e-12)
    return np.asarray((weights * heights).min(1), np.float32)


def over(front: NDArray[np.uint8], back: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One RGBA picture laid over another, ``(h, w, 4)`` uint8 both."""
    alpha, beta = front[..., 3:] / 255.0, back[..., 3:] / 255.0
    both = alpha + beta * (1 - alpha)
    colour = front[..., :3] * alpha + back[..., :3] * beta * (1 - alpha)
    mixed = np.concatenate([colour / np.maximum(both, 1e-6), 255 * both], -1)
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)


def _check(mesh: Mesh) -> None:
    if mesh.vertices.ndim != 2 or mesh.vertices.shape[1] != 3 or not len(mesh.vertices):
        raise invalid_input(f"A mesh has (V, 3) vertices, not {mesh.vertices.shape}.")
    if not np.isfinite(mesh.vertices).all():
        raise invalid_input("The mesh has vertices that are not finite, so it cannot be drawn.")
    faces = mesh.faces
    if faces.ndim != 2 or faces.shape[1] != 3 or (faces.size and faces.max() >= len(mesh.vertices)):
        raise invalid_input("A face of the mesh has a corner that is no vertex.")
