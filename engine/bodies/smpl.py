"""The user's own SMPL, SMPL-H or SMPL-X file as a body model.

Nothing of these models ships with Triptych and nothing is downloaded: who has a licence brings the
``.npz`` file. Its arrays are read by name and posed by our own linear blend skinning (Loper et al.
2015, "SMPL", equations 2 to 12), so neither pickles nor a further library are needed.

Fingers, jaw and eyes of SMPL-H and SMPL-X do not turn by themselves here: fingers go with the hand, jaw
and eyes with the head, and there are no expressions. Their hands rest flat, their faces neutral.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.bodies.body_model import BodyModel, PosedBody, blended, check_body, load_builtin_body
from engine.bodies.joints import PARENTS, ROTATING
from engine.bodies.record import OWN_BODIES
from engine.bodies.rotations import rotate
from engine.bodies.skeleton import forward_kinematics
from engine.bodies.surface_keypoints import hung_on, keypoints_at_rest
from engine.errors import EngineError, ErrorCode, bad_file

LICENCE = (
    "Made with a body model of the Max Planck Society that its licence holder brought along: research "
    "and private use alone, unless their licence says more (smpl.is.tue.mpg.de, smpl-x.is.tue.mpg.de)."
)

SHAPES = 10
"""Components of shape that are used; files carry 10, 16 or 300, and expressions behind them."""

MOST_BYTES = 1 << 30
MOST_VERTICES = 200_000

_NAMES = dict(zip((24, 52, 55), OWN_BODIES, strict=True))
_HEAD = 15
_HANDS = (22, 23)
_FINGERS = 15
_MIDDLE = 3
"""Where the middle finger begins among the fingers of a hand: index, middle, little, ring, thumb."""

_ARRAYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")


class SmplBody(nn.Module):
    """A body of the SMPL family; see :class:`engine.bodies.body_model.BodyModel`.

    Parameters
    ----------
    arrays
        ``v_template (V, 3)``, ``shapedirs (V, 3, S)``, ``posedirs (V, 3, 9 (N - 1))``, ``J_regressor
        (N, V)``, ``weights (V, N)``, ``kintree_table (2, N)``, ``f (F, 3)``; N is 24, 52 or 55. Metres,
        y-up, facing +z.
    dtype
        Of all computation.

    Raises
    ------
    ValueError
        For arrays that do not go together, or are not finite.
    """

    faces: Tensor
    joint_weights: Tensor
    template: Tensor
    basis: Tensor
    pose_basis: Tensor
    joints_mean: Tensor
    joints_basis: Tensor
    ends: Tensor

    def __init__(self, arrays: dict[str, NDArray[Any]], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        _check_arrays(arrays)
        owners, heads = _reduction(arrays["weights"].shape[1])
        floats = {
            name: torch.from_numpy(np.asarray(arrays[name], np.float64))
            for name in _ARRAYS
            if name not in ("f", "kintree_table")
        }
        count = len(owners)
        self.name = _NAMES[count]
        self.licence = LICENCE
        template, regressor = floats["v_template"], floats["J_regressor"][heads]
        basis = floats["shapedirs"][:, :, :SHAPES].permute(2, 0, 1)
        self.shape_size = len(basis)
        carried = torch.zeros(count, ROTATING, dtype=torch.float64)
        carried[torch.arange(count), owners] = 1
        weights = floats["weights"] @ carried
        # Of fingers, jaw and eyes the correction is zero, for they never turn: it is left out.
        turning = ROTATING - 1 if count == ROTATING else 21
        directions = floats["posedirs"][:, :, : 9 * turning].permute(2, 0, 1)
        for name, value in (
            ("template", template),
            ("basis", basis),
            ("pose_basis", directions),
            ("joints_mean", regressor @ template),
            ("joints_basis", regressor @ basis),
            ("joint_weights", weights / weights.sum(1, keepdim=True)),
        ):
            self.register_buffer(name, value.to(dtype).contiguous())
        self.register_buffer("faces", torch.from_numpy(np.asarray(arrays["f"], np.int64)))
        self.register_buffer("ends", _ends(template, weights))
        self._keypoints: tuple[Tensor, Tensor] | None = None

    def rest(self, shape: Tensor) -> PosedBody:
        """See :class:`~engine.bodies.body_model.BodyModel`."""
        identity = torch.eye(3, dtype=self.template.dtype, device=self.template.device)
        return self.posed(shape, identity.expand(1, ROTATING, 3, 3))

    def posed(self, shape: Tensor, rotations: Tensor, translation: Tensor | None = None) -> PosedBody:
        """Pose bodies, with the corrections of the surface that depend on the pose.

        The ends of head, fingers and toes are vertices, and move as the skeleton does, without these
        corrections.

        Raises
        ------
        EngineError
            ``invalid_input`` as of the built-in body.
        """
        check_body(self.shape_size, shape, rotations, translation)
        joints = blended(shape, self.joints_mean, self.joints_basis)
        shaped = blended(shape, self.template, self.basis) - joints[:, :1]
        joints = joints - joints[:, :1]
        turned, places = forward_kinematics(rotations, torch.cat([joints, shaped[:, self.ends]], 1))
        identity = torch.eye(3, dtype=shape.dtype, device=shape.device)
        bent = (rotations[:, 1:] - identity).flatten(2)[:, : len(self.pose_basis) // 9].flatten(1)
        unposed = shaped + (bent @ self.pose_basis.flatten(1)).unflatten(1, self.template.shape)
        offset = places[:, :ROTATING] - rotate(turned, joints)
        bones = torch.cat([turned, offset[..., None]], -1)
        skin = torch.einsum("vj,bjrc->bvrc", self.joint_weights, bones)
        vertices = rotate(skin[..., :3], unposed) + skin[..., 3]
        if translation is not None:
            vertices, places = vertices + translation[:, None], places + translation[:, None]
        return PosedBody(vertices, places)

    def coco_keypoints(self, vertices: Tensor) -> Tensor:
        """The 23 keypoints ``(B, 23, 3)`` of vertices ``(B, V, 3)``.

        In the order of :data:`engine.bodies.skeleton.COCO_NAMES`; by
        :mod:`engine.bodies.surface_keypoints`, for the files say nothing of them.
        """
        if self._keypoints is None:
            rest = self.rest(torch.zeros(1, self.shape_size).to(self.template))
            self._keypoints = hung_on(keypoints_at_rest(rest), rest.vertices[0].cpu())
        near, weights = (part.to(vertices.device) for part in self._keypoints)
        return (vertices[:, near] * weights.to(vertices.dtype)[..., None]).sum(2)

    def forward(self, shape: Tensor, rotations: Tensor, translation: Tensor | None = None) -> PosedBody:
        """:meth:`posed`."""
        return self.posed(shape, rotations, translation)


def _reduction(count: int) -> tuple[Tensor, Tensor]:
    """Which of the 24 joints each of a file's joints goes with; which of the file's are the 24."""
    owners, heads = list(range(ROTATING)), list(range(ROTATING))
    if count > ROTATING:
        first = count - 2 * _FINGERS
        owners = [*range(22), *[_HEAD] * (first - 22), *[_HANDS[0]] * _FINGERS, *[_HANDS[1]] * _FINGERS]
        heads = [*range(22), first + _MIDDLE, first + _FINGERS + _MIDDLE]
    return torch.tensor(owners), torch.tensor(heads)


def _ends(template: Tensor, weights: Tensor) -> Tensor:
    """Vertices ``(5,)`` at the ends: highest of the head, outermost of hands, foremost of feet.

    Each is among those that its joint moves most.
    """
    mine = weights.argmax(1)
    outwards = {24: (15, (0, 1, 0)), 25: (22, (1, 0, 0)), 26: (23, (-1, 0, 0))}
    outwards |= {27: (10, (0, 0, 1)), 28: (11, (0, 0, 1))}
    found = []
    for joint, direction in outwards.values():
        reach = template @ torch.tensor(direction, dtype=template.dtype)
        if not bool((mine == joint).any()):
            raise ValueError(f"no vertex is moved by joint {joint}")
        found.append(reach.masked_fill(mine != joint, -torch.inf).argmax())
    return torch.stack(found)


def _check_arrays(arrays: dict[str, NDArray[Any]]) -> None:
    if arrays["weights"].ndim != 2 or arrays["v_template"].ndim != 2:
        raise ValueError("weights and v_template are tables")
    vertices, count = arrays["weights"].shape
    if count not in _NAMES:
        raise ValueError(f"{count} joints, where SMPL has 24, SMPL-H 52 and SMPL-X 55")
    if vertices > MOST_VERTICES:
        raise ValueError(f"{vertices} vertices, and at most {MOST_VERTICES} can be used")
    wanted = {
        "v_template": (vertices, 3),
        "posedirs": (vertices, 3, 9 * (count - 1)),
        "J_regressor": (count, vertices),
        "kintree_table": (2, count),
    }
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} is {arrays[name].shape}, not {shape}")
    basis, faces = arrays["shapedirs"], arrays["f"]
    if basis.ndim != 3 or basis.shape[:2] != (vertices, 3) or not basis.shape[2]:
        raise ValueError(f"shapedirs is {basis.shape}")
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces):
        raise ValueError(f"f is {faces.shape}")
    if faces.min() < 0 or faces.max() >= vertices:
        raise ValueError("a face points outside the mesh")
    # The trunk, arms and legs of all three are the same joints; were they not, limbs would be mixed up.
    if not np.array_equal(arrays["kintree_table"][0, 1:22].astype(np.int64), PARENTS[1:22]):
        raise ValueError("the joints are in another order")
    for name in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights"):
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} has values that are not finite")
    if (arrays["weights"].sum(1) <= 0).any():
        raise ValueError("some vertices are moved by no joint")


def load_smpl(path: Path, dtype: torch.dtype = torch.float32) -> SmplBody:
    """Read a file of SMPL, SMPL-H or SMPL-X.

    Raises
    ------
    EngineError
        ``missing_weights`` where there is no file; ``bad_file`` where it is a pickle (which could run
        any program), no such model, too large, or damaged.
    """
    if not path.is_file():
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"The body model's file {path} is not there; nothing was started.",
            "SMPL and SMPL-X are not part of Triptych, and it downloads none: get the .npz file from "
            "smpl-x.is.tue.mpg.de under their licence, or use the built-in body.",
        )
    if not zipfile.is_zipfile(path):
        raise bad_file(
            f"{path.name} is no .npz file, so it was not opened as a body model.",
            "Pickles (.pkl) can run any program when they are opened. Save the arrays of yours as .npz "
            "where you trust it: numpy.savez(file, " + ", ".join(_ARRAYS) + "), all of them dense.",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = {f"{name}.npy" for name in _ARRAYS}
            size = sum(part.file_size for part in archive.infolist() if part.filename in wanted)
        if size > MOST_BYTES:
            raise ValueError(f"{size} bytes, and at most {MOST_BYTES} are read")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
        return SmplBody(arrays, dtype).eval()
    except (KeyError, ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as problem:
        raise bad_file(
            f"{path.name} is no body model of the SMPL family, or it is damaged; it was not loaded.",
            "Choose the .npz file of SMPL, SMPL-H or SMPL-X as it was given to you.",
            str(problem),
        ) from problem


def load_body(file: str | None) -> BodyModel:
    """The body model of a user's file as :func:`load_smpl` reads it; without one the built-in."""
    return load_builtin_body() if file is None else load_smpl(Path(file))
