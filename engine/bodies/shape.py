"""From lengths of bones and widths of parts to a body, mostly in closed form (ShapeBoost).

Three steps (Bian et al. 2024, "ShapeBoost", AAAI, section 3.2):

A. the template's skin is carried by every segment, stretched along it by its length and across it by
   its width, and blended by the skin weights;
B. the nearest body of the shape space is found by linear least squares;
C. a small network, told what that body measures and what was asked for, corrects its shape numbers.

A needs no learning and knows no limits; B makes a valid body of it; C takes back what B loses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.bodies.body_model import BakedBody, load_builtin_body
from engine.bodies.phenotype import random_phenotypes
from engine.bodies.rotations import normalise
from engine.bodies.shape_parts import (
    PARTS,
    SEGMENT_ENDS,
    Parts,
    bone_lengths,
    rest_skeleton,
    segment_lengths,
)
from engine.bodies.skeleton import ROTATING
from engine.errors import bad_file
from engine.weight_files import explain_mismatch, read_metadata, read_safetensors

FORMAT = "triptych-shape-1"

COMPONENTS = 16
"""Numbers of the adults' shape space; more change vertices by less than half a millimetre."""

STEP_A_ERROR = 0.008

LIMIT = 10.0
"""Deviations beyond which no shape number goes."""

_ADULTS, _SEED = 4000, 20_011
_NUMBERS = 40
"""Of the body's own shape numbers; those after it move nothing that is seen."""


@dataclass(frozen=True, eq=False)
class AdultSpace:
    """Adults as a mean and K directions with deviation 1, linear in the rest pose.

    Attributes
    ----------
    mean, directions
        ``(N,)`` and ``(K, N)`` in the body's own shape numbers.
    coordinates
        ``(N, K)``: what turns differences from the mean into numbers of the nearest mesh.
    vertices, basis
        ``(V, 3)`` and ``(K, V, 3)``: the mean's rest mesh, and what a direction adds.
    joints, joints_basis
        ``(29, 3)`` and ``(K, 29, 3)``.
    """

    mean: Tensor
    directions: Tensor
    coordinates: Tensor
    vertices: Tensor
    basis: Tensor
    joints: Tensor
    joints_basis: Tensor

    def body_numbers(self, numbers: Tensor) -> Tensor:
        """The body's own shape numbers ``(B, N)`` of numbers ``(B, K)`` of this space."""
        return self.mean + numbers @ self.directions

    def numbers_of(self, shape: Tensor) -> Tensor:
        """The nearest numbers ``(B, K)`` of the body's own ``(B, N)``."""
        return (shape - self.mean) @ self.coordinates

    def rest(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices ``(B, V, 3)`` and joints ``(B, 29, 3)`` at rest."""
        vertices = self.vertices + (numbers @ self.basis.flatten(1)).unflatten(1, (-1, 3))
        joints = self.joints + (numbers @ self.joints_basis.flatten(1)).unflatten(1, (-1, 3))
        return vertices, joints


@torch.no_grad()
def adult_space(body: BakedBody) -> AdultSpace:
    """Principal components of random adults by how far they move the rest mesh."""
    stream = torch.Generator().manual_seed(_SEED)
    shapes = body.shape_from_phenotype(random_phenotypes(_ADULTS, stream).float())
    mean, spread = shapes.mean(0), shapes.std(0)
    steps = torch.diag(spread)[:_NUMBERS]
    moved = (body.rest(mean + steps).vertices - body.rest(mean - steps).vertices).flatten(1) / 2
    # A square root of the metric of vertices turns distances of meshes into those of numbers.
    values, vectors = torch.linalg.eigh((moved @ moved.T).double())
    root = vectors * values.clamp(min=0).sqrt()
    points = ((shapes - mean) / spread)[:, :_NUMBERS].double() @ root
    _, sizes, axes = torch.linalg.svd(points, full_matrices=False)
    deviations = sizes[:COMPONENTS, None] / _ADULTS**0.5
    numbers = deviations * (axes[:COMPONENTS] @ torch.linalg.pinv(root))
    directions = numbers.float() @ steps
    coordinates = torch.zeros(len(mean), COMPONENTS)
    onto = (root @ (axes[:COMPONENTS] / deviations).T).float()
    coordinates[:_NUMBERS] = onto / spread[:_NUMBERS, None]
    middle = body.rest(mean[None])
    ahead, behind = body.rest(mean + directions), body.rest(mean - directions)
    return AdultSpace(
        mean,
        directions,
        coordinates,
        middle.vertices[0],
        (ahead.vertices - behind.vertices) / 2,
        middle.joints[0],
        (ahead.joints - behind.joints) / 2,
    )


class AnalyticBody:
    """Step A: a template that takes any lengths and widths.

    Parameters
    ----------
    vertices, joints
        ``(V, 3)`` and ``(29, 3)`` of the template at rest.
    skin_weights
        ``(V, 24)``, rows sum to 1.
    widths
        ``(24,)`` of the template.
    """

    def __init__(self, vertices: Tensor, joints: Tensor, skin_weights: Tensor, widths: Tensor) -> None:
        self.joints, self.widths = joints, widths
        start = joints[:ROTATING]
        bone = joints[list(SEGMENT_ENDS)] - start
        unit = normalise(bone)
        apart = vertices[:, None] - start
        along = (apart * unit).sum(-1)
        share = along / torch.linalg.vector_norm(bone, dim=-1)
        # Of every vertex on every joint's place, and across every segment.
        self.on_starts = skin_weights * (1 - share)
        self.on_ends = skin_weights * share
        self.across = skin_weights[..., None] * (apart - along[..., None] * unit)

    def vertices(self, rest_joints: Tensor, widths: Tensor) -> Tensor:
        """Meshes ``(B, V, 3)`` on skeletons ``(B, 29, 3)`` with widths ``(B, 24)``."""
        starts, ends = rest_joints[:, :ROTATING], rest_joints[:, list(SEGMENT_ENDS)]
        placed = self.on_starts @ starts + self.on_ends @ ends
        ratio = widths / self.widths
        return placed + (ratio @ self.across.transpose(0, 1).flatten(1)).unflatten(1, (-1, 3))


class Refinement(nn.Module):
    """Step C: corrections ``(B, K)`` of shape numbers.

    From 20 ratios of width to length, 20 lengths, what the body of step B lacks of either, its numbers.

    """

    def __init__(self, width: int = 512, components: int = COMPONENTS) -> None:
        super().__init__()
        self.width = width
        inputs = 4 * len(PARTS) + components
        layers: list[nn.Module] = [nn.BatchNorm1d(inputs)]
        for before in (inputs, width, width):
            layers += [
                nn.Linear(before, width), nn.BatchNorm1d(width), nn.LeakyReLU(), nn.Dropout(0.1),
            ]  # fmt: skip
        last = nn.Linear(width, components)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, features: Tensor) -> Tensor:
        """See :meth:`ShapeDecoder.features`."""
        return self.layers(features)


class ShapeDecoder:
    """Lengths and widths to shape numbers of the built-in body.

    Parameters
    ----------
    body
        The body; its adults are the shape space.
    refinement
        Step C; without it a body is what step B finds.
    error
        Metres by which step A is expected to be off; what moves the skin by less is left to the mean
        adult. The paper's is 0.
    """

    def __init__(
        self, body: BakedBody, refinement: Refinement | None = None, error: float = STEP_A_ERROR
    ) -> None:
        self.error = error
        self.space = adult_space(body)
        self.parts = Parts.of_body(body)
        self.refinement = refinement
        self.widths = self.parts.widths(self.space.vertices[None], self.space.joints[None])[0]
        self.analytic = AnalyticBody(
            self.space.vertices, self.space.joints, body.joint_weights, self.widths
        )
        self._projection = self._project_analytic()

    def _project_analytic(self) -> tuple[Tensor, Tensor, Tensor]:
        """Steps A and B in one linear map: of 29 places, of 24 width ratios, and a constant.

        B: ``min |v - mean - B b - c|^2 / (V error^2) + |b|^2`` over numbers b and a translation c (one
        19 x 19 inverse).
        """
        flat = self.space.basis.flatten(1).double()
        shift = torch.eye(3).double().repeat(1, len(self.space.vertices))
        columns = torch.cat([flat, shift])
        prior = torch.zeros(len(columns)).double()
        prior[:COMPONENTS] = len(self.space.vertices) * self.error**2
        solve = torch.linalg.inv(columns @ columns.T + prior.diag())[:COMPONENTS] @ columns
        solve = solve.unflatten(1, (-1, 3))
        analytic = self.analytic
        places = torch.zeros(COMPONENTS, len(self.space.joints), 3).double()
        starts = torch.einsum("kvc,vj->kjc", solve, analytic.on_starts.double())
        ends = torch.einsum("kvc,vj->kjc", solve, analytic.on_ends.double())
        places[:, :ROTATING] = starts
        places.index_add_(1, torch.tensor(SEGMENT_ENDS), ends)
        ratios = torch.einsum("kvc,vjc->kj", solve, analytic.across.double())
        constant = (solve * self.space.vertices).sum((1, 2))
        return places.float(), ratios.float(), constant.float()

    def all_widths(self, widths: Tensor) -> Tensor:
        """``(B, 24)`` of the 20 parts' ``(B, 20)``; hands and feet are the template's."""
        whole = self.widths.repeat(len(widths), 1)
        whole[:, list(PARTS)] = widths
        return whole

    def analytic_vertices(self, lengths: Tensor, widths: Tensor) -> Tensor:
        """Step A: ``(B, V, 3)`` of bone lengths ``(B, 28)`` and widths ``(B, 20)``."""
        skeleton = rest_skeleton(self.space.joints, lengths)
        return self.analytic.vertices(skeleton, self.all_widths(widths))

    def projected(self, lengths: Tensor, widths: Tensor) -> Tensor:
        """Steps A and B: numbers ``(B, K)``, none beyond :data:`LIMIT`."""
        places, ratios, constant = self._projection
        skeleton = rest_skeleton(self.space.joints, lengths)
        ratio = self.all_widths(widths) / self.widths
        found = torch.einsum("bjc,kjc->bk", skeleton, places) + ratio @ ratios.T - constant
        return found.clamp(-LIMIT, LIMIT)

    def measured(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bone lengths ``(B, 28)``, lengths and widths of the parts ``(B, 20)`` of bodies."""
        vertices, joints = self.space.rest(numbers)
        parts = list(PARTS)
        widths = self.parts.widths(vertices, joints)[:, parts]
        return bone_lengths(joints), segment_lengths(joints)[:, parts], widths

    def features(self, lengths: Tensor, widths: Tensor, numbers: Tensor) -> Tensor:
        """What step C sees: ``(B, 80 + K)``."""
        skeleton = rest_skeleton(self.space.joints, lengths)
        long = segment_lengths(skeleton)[:, list(PARTS)]
        _, own_long, own_wide = self.measured(numbers)
        ratio, own_ratio = widths / long.clamp(min=0.01), own_wide / own_long
        return torch.cat([ratio, long, long - own_long, ratio - own_ratio, 0.1 * numbers], 1)

    @torch.no_grad()
    def decode(self, lengths: Tensor, widths: Tensor) -> Tensor:
        """Numbers ``(B, K)`` of the space, by all steps there are.

        Parameters
        ----------
        lengths
            ``(B, 28)`` metres, of :func:`~engine.bodies.shape_parts.bone_lengths`.
        widths
            ``(B, 20)`` metres, of the :data:`~engine.bodies.shape_parts.PARTS`.
        """
        numbers = self.projected(lengths, widths)
        if self.refinement is not None:
            numbers = numbers + self.refinement(self.features(lengths, widths, numbers))
        return numbers.clamp(-LIMIT, LIMIT)


def save_refinement(model: Refinement, path: Path, about: dict[str, Any]) -> None:
    """Write step C's network in half precision."""
    tensors = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    told = {"format": FORMAT, "width": model.width, **about}
    save_file(tensors, path, {key: json.dumps(value) for key, value in told.items()})


def read_refinement(path: Path) -> Refinement:
    """Read what :func:`save_refinement` wrote, in evaluation mode.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file``.
    """
    tensors = read_safetensors(path)
    about = read_metadata(path)
    if about.get("format") != json.dumps(FORMAT):
        raise bad_file(f"{path.name} holds no network for shapes. Nothing was loaded.", str(path))
    model = Refinement(int(about["width"]))
    expected = model.state_dict()
    wrong = explain_mismatch(expected, tensors) or ", ".join(
        key for key, value in tensors.items() if value.shape != expected[key].shape
    )
    if wrong:
        raise bad_file(f"{path.name} is damaged: {wrong}. Nothing was loaded.")
    model.load_state_dict({key: value.to(expected[key].dtype) for key, value in tensors.items()})
    return model.eval().requires_grad_(False)


BUILTIN_SHAPE = (
    Path(__file__).resolve().parents[2] / "resources" / "weights" / "shape" / "shape.safetensors"
)


@lru_cache(maxsize=1)
def load_shape_decoder() -> ShapeDecoder:
    """The decoder of the built-in body with the network that ships, made once (a second or two)."""
    return ShapeDecoder(load_builtin_body(), read_refinement(BUILTIN_SHAPE))
