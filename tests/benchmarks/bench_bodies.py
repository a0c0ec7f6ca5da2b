"""How well bodies are recovered: rendered people of whom everything is known, and photos.

Run by hand: ``bench_bodies.py [--pictures 30] [--photos FOLDER] [--sheet FILE]``; prints JSON. Errors
are in mm: MPJPE with the pelvises on each other, PA-MPJPE after the best similarity transform;
reprojection is of seen keypoints, in % of the person's height in pixels. ``--sheet`` draws the bodies
over the photos, to look at.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from PIL import Image

from engine.bodies.body_model import load_builtin_body, vertex_normals
from engine.bodies.export import posed_vertices
from engine.bodies.inverse_kinematics import closed_form, decompose
from engine.bodies.keypoints.detectors import load_detector
from engine.bodies.keypoints.person import Person
from engine.bodies.keypoints.pictures import as_picture, read_picture
from engine.bodies.keypoints.refusals import shows_trunk
from engine.bodies.phenotype import random_phenotypes
from engine.bodies.record import RecoveredPerson
from engine.bodies.recover import guess_camera, recover_person
from engine.bodies.render import Caster, Mesh, View
from engine.bodies.rotations import axis_angle_to_matrix
from engine.bodies.skeleton import forward_kinematics
from engine.bodies.synthetic import KnownPerson, known_picture

METHODS = ("ik", "niki", "niki+shape", "fit")
JOINTS = [*range(22), 24]
"""Without hands and ends, which keypoints do not show."""


def aligned(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """``found`` after the similarity transform that brings it nearest to ``true`` (Procrustes)."""
    a, b = found - found.mean(0), true - true.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    return np.asarray((s * np.diag(sign)).sum() / (a**2).sum() * a @ (u @ sign @ vt) + true.mean(0))


def compared(found: RecoveredPerson, true: KnownPerson) -> dict[str, float]:
    """Errors of one person."""
    a, b = found.joints[JOINTS].astype(float), true.joints[JOINTS]
    mpjpe = np.linalg.norm((a - a[0]) - (b - b[0]), axis=1).mean()
    pa = np.linalg.norm(aligned(a, b) - b, axis=1).mean()
    return {"mpjpe": 1000 * mpjpe, "pa_mpjpe": 1000 * pa, "share": 100 * found.error_share}


def nearest(people: list[Person], true: KnownPerson) -> Person | None:
    """The detected person whose hips are where the known one's are."""
    hips = true.image_keypoints[[11, 12]].mean(0)
    tall = np.ptp(true.image_keypoints[:, 1])
    apart = [
        float(np.linalg.norm((p.point("left_hip")[:2] + p.point("right_hip")[:2]) / 2 - hips))
        for p in people
    ]
    if not apart or min(apart) > 0.2 * tall:
        return None
    return people[int(np.argmin(apart))]


def exact_skeletons(count: int) -> dict[str, float]:
    """Closed form given exact joints and twists: mean and largest error in mm, random poses."""
    body, stream = load_builtin_body(torch.float64), torch.Generator().manual_seed(0)
    shapes = body.shape_from_phenotype(random_phenotypes(count, stream))
    turns = 0.6 * torch.randn(count, 24, 3, generator=stream, dtype=torch.float64)
    rest = body.rest(shapes).joints
    rotations = axis_angle_to_matrix(turns)
    _, joints = forward_kinematics(rotations, rest)
    angles = decompose(rotations, rest)[2]
    twists = torch.stack([angles.cos(), angles.sin()], 2)
    _, found = forward_kinematics(closed_form(joints, rest, twists), rest)
    errors = 1000 * (found - joints).norm(dim=2)
    return {"mean": float(errors.mean()), "largest": float(errors.max())}


def rendered(count: int, coco_only: bool = False) -> dict[str, Any]:
    """Tables of all methods over pictures of one person; the camera is known, the shape is not."""
    body, detector = load_builtin_body(), load_detector("blazepose")
    rows: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    missed = 0
    for seed in range(count):
        picture = known_picture(np.random.default_rng(seed), 1, 640, 800)
        (true,) = picture.people
        focal = float(picture.view.intrinsic[1, 1])
        found = detector.detect(as_picture(picture.pixels))
        person = nearest(found, true)
        if person is None:
            missed += 1
            continue
        if coco_only:
            person = replace(person.to_coco17(), world=None)
        camera = guess_camera(picture.view.width, picture.view.height, None, focal)
        # What was made stands in the room; what is recovered before the camera.
        turned = np.diag([1.0, -1.0, -1.0]) @ picture.view.extrinsic[:3, :3]
        seen = KnownPerson(**{**vars(true), "joints": true.joints @ turned.T})
        for method in METHODS:
            started = time.perf_counter()
            made = recover_person(person, camera, body, method)
            took = 1000 * (time.perf_counter() - started)
            rows[method].append({**compared(made, seen), "ms": took})
    table = {
        method: {key: round(float(np.mean([row[key] for row in found])), 2) for key in found[0]}
        for method, found in rows.items()
    }
    return {"people": count - missed, "missed": missed, **table}


def photos(folder: Path, sheet: Path | None) -> list[dict[str, Any]]:
    """Reprojection in photos."""
    body, detector = load_builtin_body(), load_detector("blazepose")
    faces, told, strips = body.faces.numpy(), [], []
    for path in sorted(folder.glob("*.jpg")):
        picture = read_picture(path)
        camera = guess_camera(picture.width, picture.height)
        people = [
            person
            for person in detector.detect(picture)
            if shows_trunk(person, picture.width, picture.height)
        ]
        row: dict[str, Any] = {"photo": path.name, "people": len(people)}
        strip = [Image.fromarray(picture.pixels)]
        for method in METHODS:
            made = [recover_person(person, camera, body, method) for person in people]
            row[method] = [round(100 * one.error_share, 2) for one in made]
            meshes = []
            for one in made:
                vertices = posed_vertices(body, one)
                normals = vertex_normals(torch.from_numpy(vertices)[None], body.faces)[0].numpy()
                meshes.append(Mesh(vertices, faces, np.array([70, 200, 190], np.uint8), normals))
            view = View.pinhole(camera.focal, camera.centre, camera.width, camera.height)
            drawn = Image.fromarray(Caster(meshes).paint(view)).resize(strip[0].size)
            over = strip[0].convert("RGBA")
            over.alpha_composite(drawn)
            strip.append(over.convert("RGB"))
        told.append(row)
        strips.append(strip)
    if sheet is not None:
        _save(strips, sheet)
    return told


def _save(strips: list[list[Image.Image]], path: Path, height: int = 320) -> None:
    rows = [[i.resize((round(i.width * height / i.height), height)) for i in row] for row in strips]
    page = Image.new("RGB", (max(sum(i.width for i in row) for row in rows), height * len(rows)))
    for y, row in enumerate(rows):
        x = 0
        for image in row:
            page.paste(image, (x, y * height))
            x += image.width
    page.save(path)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=30)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "exact skeleton": exact_skeletons(200),
        "rendered": rendered(options.pictures),
        "rendered, COCO's keypoints alone": rendered(options.pictures, coco_only=True),
    }
    if options.photos is not None:
        result["photos"] = photos(options.photos, options.sheet)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
