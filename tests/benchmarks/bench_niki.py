"""Neural inverse kinematics against closed form, fit and a plain network, on what none was trained on.

Run by hand: ``bench_niki.py --data MOCAP.npz --models FOLDER [--fits 40]``; prints JSON.
Clips and bodies are unseen. Three sets: exact joints, joints with a detector's usual errors, and the
same with limbs lost. Every method is given the uncertainty of the joints that can use it. Errors are in
mm over 24 joints: MPJPE with the pelvises on each other, PA-MPJPE after the best similarity transform;
of rotations in degrees over joints 1 to 21. ``FOLDER`` is what ``engine.bodies.niki_training`` wrote.
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
from safetensors.torch import load_file
from scipy.stats import spearmanr
from torch import Tensor

from engine.bodies.body_model import load_builtin_body
from engine.bodies.inverse_kinematics import decompose
from engine.bodies.joint_noise import EXACT_UNCERTAINTY, blurred, occluded
from engine.bodies.mocap import read_mocap
from engine.bodies.niki import Niki, Observation, observe, read_niki
from engine.bodies.niki_baseline import PlainNetwork
from engine.bodies.niki_blend import follow_sure_joints
from engine.bodies.niki_data import PoseSource, draw_poses, random_skeletons
from engine.bodies.rotations import (
    axis_angle_to_matrix,
    geodesic_angle,
    matrix_to_axis_angle,
    nearest_rotation,
)
from engine.bodies.skeleton import ROTATING, forward_kinematics

SEED = 5
TURNING = list(range(1, 22))
PERCENTILES = torch.tensor([0.005, 0.995])
Solve = Callable[[Observation], Tensor]


class Fit:
    """SMPLify on joints: weighted robust distance, Gaussian pose prior, limits; L-BFGS, one by one."""

    def __init__(self, poses: Tensor, limits: Tensor) -> None:
        vectors = matrix_to_axis_angle(poses[:, 1:]).flatten(1).double()
        self.mean = vectors.mean(0)
        covariance = torch.cov(vectors.T) + 0.02 * torch.eye(vectors.shape[1]).double()
        self.precision = torch.linalg.inv(covariance).float()
        self.mean = self.mean.float()
        self.low, self.high = limits

    def __call__(self, seen: Observation) -> Tensor:
        return torch.cat([self.one(seen.rows(slice(at, at + 1))) for at in range(len(seen))])

    def one(self, seen: Observation) -> Tensor:
        root = matrix_to_axis_angle(seen.rotations[:, 0]).clone().requires_grad_()
        body = self.mean[None].clone().requires_grad_()
        weights = 1 - seen.uncertainty

        def loss() -> Tensor:
            turns = torch.cat([root[:, None], body.unflatten(1, (ROTATING - 1, 3))], 1)
            joints = forward_kinematics(axis_angle_to_matrix(turns), seen.rest)[1]
            apart = (joints - seen.joints).square().sum(-1) / 0.1**2
            total = (weights * apart / (1 + apart)).sum()
            away = body - self.mean
            beyond = (body - self.high).clamp(min=0) + (self.low - body).clamp(min=0)
            return total + 2e-3 * (away @ self.precision * away).sum() + beyond.square().sum()

        for variables, steps in (([root], 20), ([root, body], 80)):
            optimiser = torch.optim.LBFGS(
                variables, max_iter=steps, max_eval=2 * steps, line_search_fn="strong_wolfe"
            )

            def closure(optimiser: torch.optim.LBFGS = optimiser) -> Tensor:
                optimiser.zero_grad()
                value = loss()
                value.backward()
                return value

            with torch.enable_grad():
                optimiser.step(closure)
        turns = torch.cat([root[:, None], body.unflatten(1, (ROTATING - 1, 3))], 1)
        return axis_angle_to_matrix(turns.detach())


def aligned(found: Tensor, true: Tensor) -> Tensor:
    """After the similarity transform that brings each nearest to the truth (Procrustes)."""
    a, b = found - found.mean(1, keepdim=True), true - true.mean(1, keepdim=True)
    turn = nearest_rotation(b.mT @ a)
    turned = a @ turn.mT
    scale = (turned * b).sum((1, 2), keepdim=True) / turned.square().sum((1, 2), keepdim=True)
    return scale * turned + true.mean(1, keepdim=True)


def figures(
    rotations: Tensor, poses: Tensor, seen: Observation, joints: Tensor, lost: Tensor, limits: Tensor
) -> tuple[dict[str, float], Tensor]:
    """A row of the table, and the error of each person in mm."""
    found = forward_kinematics(rotations, seen.rest)[1][:, :ROTATING]
    true, lost = joints[:, :ROTATING], lost[:, :ROTATING]
    apart = 1000 * torch.linalg.vector_norm(found - true, dim=-1)
    pa = 1000 * torch.linalg.vector_norm(aligned(found, true) - true, dim=-1)
    angle = torch.rad2deg(geodesic_angle(rotations, poses))[:, TURNING]
    vectors = matrix_to_axis_angle(rotations[:, 1:]).flatten(1)
    low, high = limits
    # Recordings never turn some joints: any turn of those would count.
    outside = (vectors < low - 0.01) | (vectors > high + 0.01)
    row = {
        "mpjpe": apart.mean(),
        "pa_mpjpe": pa.mean(),
        "rotation": angle.mean(),
        "beyond_percent": 100 * outside[:, high - low > 0.1].float().mean(),
    }
    if bool(lost.any()):
        row |= {"mpjpe_lost": apart[lost].mean(), "mpjpe_seen": apart[~lost].mean()}
    return {key: round(float(value), 2) for key, value in row.items()}, apart.mean(1)


def read_plain(path: Path) -> PlainNetwork:
    tensors = {key: value.float() for key, value in load_file(path).items()}
    model = PlainNetwork(len(tensors["layers.0.bias"]))
    model.load_state_dict(tensors)
    return model.eval()


def blended(model: Niki) -> Solve:
    def solve(seen: Observation) -> Tensor:
        found = model.inverse(seen).rotations
        return follow_sure_joints(found, seen.joints, seen.uncertainty, seen.rest)

    return solve


def speed(model: Niki, seen: Observation) -> dict[str, float]:
    """People a second in batch and milliseconds for one, everything included."""
    solve = blended(model)

    def whole(count: int) -> float:
        started = time.perf_counter()
        part = seen.rows(slice(0, count))
        solve(observe(part.joints, part.uncertainty, part.rest))
        return time.perf_counter() - started

    whole(256)
    batch = min(whole(512) for _ in range(5))
    return {
        "people_a_second": round(512 / batch),
        "ms_for_one": round(1000 * float(np.median([whole(1) for _ in range(15)])), 2),
    }


def misfit(pose: Tensor, seen: Observation) -> Tensor:
    """How far a pose's joints are from those that were given, metres ``(B,)``: a rival of the code."""
    posed = forward_kinematics(pose, seen.rest)[1]
    return torch.linalg.vector_norm(posed - seen.joints, dim=-1).mean(1)


def code_figures(model: Niki, sets: dict[str, Any]) -> dict[str, float]:
    """What the error code says, and how exactly the network is undone."""
    doubt, off, errors, told = {}, {}, {}, {}
    worst = 0.0
    for name, (_, joints, seen, _) in sets.items():
        pose = model.inverse(seen)
        back = model(pose.numbers, pose.code, seen.rest)
        worst = max(worst, float((back.joints - seen.joints).abs().max()))
        made = follow_sure_joints(pose.rotations, seen.joints, seen.uncertainty, seen.rest)
        found = forward_kinematics(made, seen.rest)[1][:, :ROTATING]
        doubt[name], off[name] = pose.doubt, misfit(made, seen)
        errors[name] = torch.linalg.vector_norm(found - joints[:, :ROTATING], dim=-1).mean(1)
    for names in (("noise", "occluded"), ("occluded",), ("exact", "noise", "occluded")):
        true = torch.cat([errors[n] for n in names])
        for what, said in (("code", doubt), ("misfit", off)):
            rank = float(spearmanr(torch.cat([said[n] for n in names]), true).statistic)
            told[f"spearman {what}, {'+'.join(names)}"] = round(rank, 3)
    told["code exact / occluded"] = round(float(doubt["exact"].mean() / doubt["occluded"].mean()), 3)
    told["forward of inverse"] = worst
    return told


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--fits", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    body = load_builtin_body()
    mocap = read_mocap(options.data, body.rest(torch.zeros(1, body.shape_size)).joints[0])
    vectors = matrix_to_axis_angle(mocap.training[:, 1:]).flatten(1)
    limits = torch.quantile(vectors, PERCENTILES, dim=0)
    stream = torch.Generator().manual_seed(SEED)
    source = PoseSource(mocap.test, random_skeletons(body, 256, stream))
    poses, rests = draw_poses(source, options.people, stream, varied=False)
    joints = forward_kinematics(poses, rests)[1]
    joints = joints - joints[:, :1]
    seen, doubt = blurred(joints, stream)
    hidden, hidden_doubt, lost = occluded(seen, doubt, stream)
    none = torch.zeros_like(lost)
    exact = torch.full_like(doubt, EXACT_UNCERTAINTY)
    sets = {
        "exact": (poses, joints, observe(joints, exact, rests), none),
        "noise": (poses, joints, observe(seen, doubt, rests), none),
        "occluded": (poses, joints, observe(hidden, hidden_doubt, rests), lost),
    }
    methods: dict[str, Solve] = {"closed form": lambda seen: seen.rotations}
    networks = {name: options.models / f"{name}.safetensors" for name in ("two_stage", "one_stage")}
    if (options.models / "plain.safetensors").exists():
        methods["plain network"] = read_plain(options.models / "plain.safetensors").rotations
    found = {name: read_niki(path) for name, path in networks.items() if path.exists()}
    for name, model in found.items():
        methods[name] = lambda seen, model=model: model.inverse(seen).rotations
        methods[f"{name}, following"] = blended(model)
    report: dict[str, Any] = {"people": options.people, "threads": options.threads}
    for kind, (true, places, given, gone) in sets.items():
        rows = {}
        for name, solve in methods.items():
            rows[name], _ = figures(solve(given), true, given, places, gone, limits)
        turned = decompose(true, given.rest)[2]
        report[kind] = rows
        report[kind]["input"] = {
            "mpjpe": round(1000 * float((given.joints - places)[:, :ROTATING].norm(dim=-1).mean()), 2),
            "twist": round(float(torch.rad2deg(turned.abs()).mean()), 2),
        }
        if options.fits:
            few = slice(0, options.fits)
            started = time.perf_counter()
            made = Fit(mocap.training, limits)(given.rows(few))
            took = time.perf_counter() - started
            rows[f"fit, first {options.fits}"], _ = figures(
                made, true[few], given.rows(few), places[few], gone[few], limits
            )
            rows[f"fit, first {options.fits}"]["ms"] = round(1000 * took / options.fits, 1)
            for name in ("closed form", *(f"{name}, following" for name in found)):
                rows[f"{name}, first {options.fits}"], _ = figures(
                    methods[name](given.rows(few)), true[few], given.rows(few), places[few], gone[few],
                    limits,
                )  # fmt: skip
    for name, model in found.items():
        report[name] = {**code_figures(model, sets), **speed(model, sets["noise"][2])}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
