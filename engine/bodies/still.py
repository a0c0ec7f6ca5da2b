"""Stills of bodies by Open3D's offscreen renderer, in a process of its own: a driver may end it.

It needs Vulkan (a GPU's driver, or Mesa's lavapipe in software). Where there is none, who asks takes
the ray caster (:class:`engine.bodies.render.Caster`), which works everywhere.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import child
from engine.bodies.render import Mesh, View

NO_DRIVER = 3
TIME_LIMIT = 60.0
OVERSAMPLING = 2
"""Edges are smooth by that: pixels are means of 2 x 2."""

_LIGHT = 45_000
_FAR = 1000.0
Pixels = NDArray[np.uint8]


def rendered_still(meshes: Sequence[Mesh], view: View, time_limit: float = TIME_LIMIT) -> Pixels | None:
    """A picture ``(h, w, 4)`` RGBA, nothing behind the bodies; None without a driver that works.

    Parameters
    ----------
    meshes
        Opaque ones; ``alpha`` is not looked at.
    view
        The camera.
    time_limit
        Seconds after which the driver is given up.
    """
    arrays: dict[str, NDArray[np.generic]] = {
        "intrinsic": view.intrinsic,
        "extrinsic": view.extrinsic,
        "size": np.array([view.width, view.height]),
    }
    for number, mesh in enumerate(meshes):
        normals = np.zeros((0, 3), np.float32) if mesh.normals is None else mesh.normals
        arrays |= {
            f"vertices{number}": mesh.vertices,
            f"faces{number}": mesh.faces,
            f"colours{number}": mesh.colours,
            f"normals{number}": normals,
        }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "scene.npz", Path(folder) / "pixels.npy"
        np.savez(source, **arrays)  # type: ignore[arg-type]
        arguments = child.command("engine.bodies.still", str(source), str(target))
        try:
            done = subprocess.run(
                arguments,
                env=child.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=time_limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
        if done.returncode != 0 or not target.exists():
            return None
        return np.asarray(np.load(target), np.uint8)


# --- in the child ---------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Render one scene; the exit code is 3 without a driver."""
    parser = argparse.ArgumentParser(prog="engine.bodies.still")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    with np.load(options.source) as file:
        scene = {name: file[name] for name in file.files}
    width, height = (OVERSAMPLING * int(side) for side in scene["size"])

    import open3d as o3d

    rendering = o3d.visualization.rendering
    try:
        renderer = rendering.OffscreenRenderer(width, height)
    except RuntimeError:
        return NO_DRIVER
    renderer.scene.set_background([1.0, 1.0, 1.0, 1.0])
    eye = -scene["extrinsic"][:3, :3].T @ scene["extrinsic"][:3, 3]
    middle = scene["vertices0"].mean(0) if "vertices0" in scene else np.zeros(3)
    ahead = (middle - eye) / max(float(np.linalg.norm(middle - eye)), 1e-6)
    renderer.scene.scene.set_sun_light(ahead - [0.3, 0.5, 0.0], [1.0, 1.0, 1.0], _LIGHT)
    renderer.scene.scene.enable_sun_light(True)
    number = 0
    while f"vertices{number}" in scene:
        renderer.scene.add_geometry(
            f"body {number}", _geometry(o3d, scene, number), _material(rendering)
        )
        number += 1
    intrinsic = np.diag([OVERSAMPLING, OVERSAMPLING, 1.0]) @ scene["intrinsic"]
    renderer.setup_camera(intrinsic, scene["extrinsic"], width, height)
    colours = np.asarray(renderer.render_to_image(), np.float64)[..., :3]
    depth = np.asarray(renderer.render_to_depth_image(z_in_view_space=True))
    covered = np.isfinite(depth) & (depth < _FAR)
    np.save(options.target, _halved(colours, covered.astype(np.float64)))
    return 0


def _geometry(o3d: Any, scene: dict[str, NDArray[Any]], number: int) -> Any:
    utility, geometry = o3d.utility, o3d.geometry
    mesh = geometry.TriangleMesh(
        utility.Vector3dVector(scene[f"vertices{number}"].astype(np.float64)),
        utility.Vector3iVector(scene[f"faces{number}"].astype(np.int32)),
    )
    colours = np.broadcast_to(scene[f"colours{number}"], scene[f"vertices{number}"].shape)
    # The renderer takes colours as light, not as stored.
    mesh.vertex_colors = utility.Vector3dVector((colours.astype(np.float64) / 255) ** 2.2)
    normals = scene[f"normals{number}"]
    if len(normals):
        mesh.vertex_normals = utility.Vector3dVector(normals.astype(np.float64))
    else:
        mesh.compute_vertex_normals()
    return mesh


def _material(rendering: Any) -> Any:
    material = rendering.MaterialRecord()
    material.shader = "defaultLit"
    material.base_roughness = 0.8
    return material


def _halved(colours: NDArray[np.float64], covered: NDArray[np.float64]) -> Pixels:
    """Means of what is covered, and how much is, ``(h, w, 4)``."""
    height, width = covered.shape[0] // OVERSAMPLING, covered.shape[1] // OVERSAMPLING
    shape = (height, OVERSAMPLING, width, OVERSAMPLING)
    share = covered.reshape(shape).mean((1, 3))
    weighted = (colours * covered[..., None]).reshape(*shape, 3).mean((1, 3))
    mean = weighted / np.maximum(share, 1e-6)[..., None]
    return np.concatenate([mean, 255 * share[..., None]], 2).clip(0, 255).round().astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
