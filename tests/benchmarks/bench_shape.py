"""Shapes from lengths and widths: the semi-analytical decoder against ridge, a plain network and a fit.

Run by hand: ``bench_shape.py [--minutes 3] [--people 500] [--fits 20]``; prints JSON. Step C and the
plain network are trained here, for the same time on the same bodies, none of which is as thin or heavy
as those *outside*. Vertex errors in mm at rest, as they are and after the best scale (PVE-T-SC); girths
and height in mm.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from torch import Tensor, nn

from engine.bodies.body_model import load_builtin_body
from engine.bodies.measure import measure
from engine.bodies.phenotype import PHENOTYPES, random_phenotypes
from engine.bodies.shape import COMPONENTS, ShapeDecoder
from engine.bodies.shape_parts import PARTS, scale_corrected
from engine.bodies.shape_training import (
    draw_measured,
    fit_network,
    random_shapes,
    train_refinement,
    vertex_error,
    with_errors,
)
from engine.errors import EngineError

BOX = (0.2, 0.8)
GIRTHS = ("chest", "waist", "hip")
Decode = Callable[[Tensor, Tensor], Tensor]


def tails(body: Any, count: int, stream: torch.Generator) -> Tensor:
    """Adults thinner or heavier than any in the box."""
    phenotypes = random_phenotypes(count, stream)
    weight = PHENOTYPES.index("weight")
    phenotypes[:, weight] = 0.1 * phenotypes[:, weight]
    phenotypes[: count // 2, weight] = 1 - phenotypes[: count // 2, weight]
    return body.shape_from_phenotype(phenotypes.float())


def ridge(inputs: Tensor, true: Tensor) -> Callable[[Tensor], Tensor]:
    """Least squares with a small weight on the coefficients, inputs standardised."""
    mean, spread = inputs.mean(0), inputs.std(0)
    x = torch.cat([(inputs - mean) / spread, torch.ones(len(inputs), 1)], 1).double()
    found = torch.linalg.solve(x.T @ x + len(x) * 1e-3 * torch.eye(x.shape[1]), x.T @ true.double())
    return lambda seen: (
        torch.cat([(seen - mean) / spread, torch.ones(len(seen), 1)], 1).double() @ found
    ).float()


def plain_inputs(lengths: Tensor, widths: Tensor) -> Tensor:
    """Lengths of all bones, widths, and ratios of widths to the trunk's length."""
    return torch.cat([lengths, widths, widths / lengths[:, [2, 5, 8]].sum(1, keepdim=True)], 1)


def fitted(decoder: ShapeDecoder, lengths: Tensor, widths: Tensor) -> Tensor:
    """L-BFGS on the numbers of one body after the other, with their prior."""
    found = []
    for long, wide in zip(lengths.split(1), widths.split(1), strict=True):
        numbers = torch.zeros(1, COMPONENTS, requires_grad=True)
        optimiser = torch.optim.LBFGS([numbers], max_iter=30, line_search_fn="strong_wolfe")

        def loss(
            numbers: Tensor = numbers,
            long: Tensor = long,
            wide: Tensor = wide,
            optimiser: Any = optimiser,
        ) -> Tensor:
            optimiser.zero_grad()
            own_long, _, own_wide = decoder.measured(numbers)
            value = ((own_long - long) / 0.03).square().sum() + (
                (own_wide - wide) / 0.006
            ).square().sum()
            value = value + numbers.square().sum()
            value.backward()
            return value

        with torch.enable_grad():
            optimiser.step(loss)
        found.append(numbers.detach())
    return torch.cat(found)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, for each network")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--fits", type=int, default=20)
    parser.add_argument("--girths", type=int, default=100)
    options = parser.parse_args()
    body = load_builtin_body()
    plain_decoder = ShapeDecoder(body)
    space, parts = plain_decoder.space, plain_decoder.parts
    shapes = random_shapes(body, options.samples, torch.Generator().manual_seed(1), BOX)
    numbers = space.numbers_of(shapes)
    with torch.enable_grad():
        refinement, steps = train_refinement(plain_decoder, numbers, options.minutes)
    decoder = ShapeDecoder(body, refinement)
    seen = draw_measured(plain_decoder, numbers, torch.Generator().manual_seed(0))
    inputs = plain_inputs(seen.lengths, seen.widths)
    regressed = ridge(inputs, numbers)
    plain = nn.Sequential(
        nn.BatchNorm1d(inputs.shape[1]),
        nn.Linear(inputs.shape[1], 512), nn.BatchNorm1d(512), nn.LeakyReLU(), nn.Dropout(0.1),
        nn.Linear(512, 512), nn.BatchNorm1d(512), nn.LeakyReLU(), nn.Dropout(0.1),
        nn.Linear(512, 512), nn.BatchNorm1d(512), nn.LeakyReLU(), nn.Dropout(0.1),
        nn.Linear(512, COMPONENTS),
    )  # fmt: skip
    with torch.enable_grad():
        plain_steps = fit_network(
            plain,
            inputs,
            torch.zeros_like(numbers),
            numbers,
            vertex_error(plain_decoder),
            options.minutes,
        )
    methods: dict[str, Decode] = {
        "b ridge": lambda long, wide: regressed(plain_inputs(long, wide)),
        "d A+B": plain_decoder.decode,
        "e A+B+C": decoder.decode,
        "f plain network": lambda long, wide: plain(plain_inputs(long, wide)),
    }
    stream = torch.Generator().manual_seed(77)
    report: dict[str, Any] = {"steps": {"C": steps, "plain": plain_steps}}
    sets = {
        "inside": random_shapes(body, options.people, stream, BOX),
        "outside": tails(body, options.people, stream),
    }
    for where, some in sets.items():
        rests = [body.rest(part) for part in some.split(64)]
        vertices = torch.cat([rest.vertices for rest in rests])
        joints = torch.cat([rest.joints for rest in rests])
        widths = parts.widths(vertices, joints)[:, list(PARTS)]
        true_girths = girths(body, some[: options.girths])
        for errors, level in (("exact", 0.0), ("with errors", 1.0)):
            long, wide = with_errors(joints, widths, torch.full((len(some), 1), level), stream)
            rows: dict[str, Any] = {}
            tall = torch.linalg.vector_norm(joints[:, 24] - joints[:, 27], dim=-1, keepdim=True)
            own = torch.linalg.vector_norm(space.joints[24] - space.joints[27])
            meshes = {
                "a mean, scaled": space.vertices * (tall / own)[..., None],
                "c A": plain_decoder.analytic_vertices(long, wide),
            }
            for name, made in meshes.items():
                rows[name] = vertex_row(made, vertices)
            for name, decode in methods.items():
                found = decode(long, wide)
                rows[name] = vertex_row(body_meshes(body, space, found), vertices)
                told = girths(body, space.body_numbers(found[: options.girths]))
                off = np.nanmean(np.abs(told - true_girths), 0)
                rows[name] |= dict(
                    zip((*GIRTHS, "height"), (1000 * off).round(1).tolist(), strict=True)
                )
                rows[name]["not_measurable"] = int(np.isnan(told[:, 0]).sum())
                own_widths = plain_decoder.measured(found)[2]
                rows[name]["width_off"] = round(1000 * float((own_widths - wide).abs().mean()), 2)
            few = slice(0, options.fits)
            found = fitted(plain_decoder, long[few], wide[few])
            rows["g fit, first few"] = vertex_row(body_meshes(body, space, found), vertices[few])
            few_e = body_meshes(body, space, decoder.decode(long[few], wide[few]))
            rows["e A+B+C, first few"] = vertex_row(few_e, vertices[few])
            report[f"{where}, {errors}"] = rows
    started = time.perf_counter()
    for _ in range(50):
        decoder.decode(long[:1], wide[:1])
    report["ms_a_body"] = round(1000 * (time.perf_counter() - started) / 50, 2)
    print(json.dumps(report, indent=1))


def body_meshes(body: Any, space: Any, numbers: Tensor) -> Tensor:
    """Meshes of the body itself, not of the linear space."""
    return torch.cat([body.rest(part).vertices for part in space.body_numbers(numbers).split(64)])


def vertex_row(found: Tensor, true: Tensor) -> dict[str, float]:
    """Both vertex errors; meshes have the pelvis at the origin."""
    apart = torch.linalg.vector_norm(found - true, dim=-1).mean()
    scaled = torch.linalg.vector_norm(scale_corrected(found, true) - true, dim=-1).mean()
    return {"pve": round(1000 * float(apart), 2), "pve_t_sc": round(1000 * float(scaled), 2)}


def girths(body: Any, shapes: Tensor) -> np.ndarray:
    """Chest, waist, hip and height ``(B, 4)`` in metres."""
    rows = []
    for shape in shapes.split(1):
        try:
            told = measure(body, shape)
        except EngineError:
            # So far from a person that a plane misses it.
            rows.append([np.nan] * 4)
            continue
        rows.append([*(told.girths[name].length for name in GIRTHS), told.height])
    return np.array(rows)


if __name__ == "__main__":
    main()
