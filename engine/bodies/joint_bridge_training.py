"""Fits what recovery needs besides networks: ``python -m engine.bodies.joint_bridge_training``.

The bridges from keypoints to joints, COCO's from exact keypoints of recorded poses on random adults,
BlazePose's from rendered pictures with what the detector says of them; and the prior of poses. Prints
held-out errors: other clips, other bodies. ``--mocap`` is the file ``shared/data/mocap`` describes.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.bodies.body_model import load_builtin_body
from engine.bodies.bridge_data import Pairs, exact_pairs, read_pairs, save_pairs, seen_pairs
from engine.bodies.joint_bridge import Bridge, fit_bridge, save_bridges
from engine.bodies.keypoints.layouts import BLAZEPOSE33, COCO17
from engine.bodies.lifting import save_lifter
from engine.bodies.lifting_training import depth_error, train_lifter
from engine.bodies.mocap import read_mocap
from engine.bodies.niki_data import PoseSource, draw_poses, random_skeletons
from engine.bodies.pose_prior import fit_pose_prior, save_pose_prior
from engine.bodies.skeleton import JOINT_NAMES

log = logging.getLogger("triptych.training")

EXACT, EXACT_TEST = 12_000, 600
SEEN, SEEN_TEST = 600, 120
PRIOR_POSES = 20_000
_SKELETONS = 8


def held_out(bridge: Bridge, names: tuple[str, ...], pairs: Pairs) -> NDArray[np.float64]:
    """Mean error of each joint ``(29,)`` in mm."""
    found = bridge.joints(pairs.points[:, : len(names)], names)
    return np.asarray(1000 * np.linalg.norm(found - pairs.joints, axis=2).mean(0))


def main(arguments: list[str] | None = None) -> int:
    """Fit, write and measure."""
    parser = argparse.ArgumentParser(prog="engine.bodies.joint_bridge_training", description=__doc__)
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True, help="folder that keeps what was rendered")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    body = load_builtin_body()
    with torch.no_grad():
        mocap = read_mocap(options.mocap, body.rest(torch.zeros(1, body.shape_size)).joints[0])
    stream = torch.Generator().manual_seed(0)
    skeletons = random_skeletons(body, _SKELETONS, stream)
    training, test = (PoseSource(poses, skeletons) for poses in (mocap.training, mocap.test))

    def seen(name: str, source: PoseSource, count: int, seed: int) -> Pairs:
        path = options.pairs / f"seen_{name}.npz"
        if not path.exists():
            poses, _ = draw_poses(source, count, stream, varied=True)
            save_pairs(seen_pairs(poses, count, seed, lambda n: log.info("%s %d", name, n)), path)
        return read_pairs(path)

    poses, _ = draw_poses(training, EXACT, stream, varied=True)
    others, _ = draw_poses(test, EXACT_TEST, stream, varied=True)
    exact, exact_test = exact_pairs(body, poses, EXACT, 1), exact_pairs(body, others, EXACT_TEST, 2)
    lifting, lifting_test = torch.from_numpy(exact.points), torch.from_numpy(exact_test.points)
    coco = fit_bridge(exact.points[:, : len(COCO17)], COCO17.names, exact.joints)
    seen_test = seen("test", test, SEEN_TEST, 12)
    rendered = seen("train", training, SEEN, 11)
    blazepose = fit_bridge(rendered.points, BLAZEPOSE33.names, rendered.joints)
    errors = {
        "coco17": held_out(coco, COCO17.names, exact_test),
        "blazepose33": held_out(blazepose, BLAZEPOSE33.names, seen_test),
    }
    about: dict[str, object] = {
        "fitted by": "engine.bodies.joint_bridge_training",
        "people": {"coco17": len(exact.points), "blazepose33": len(rendered.points)},
        "held-out error, mm": {name: round(float(values.mean()), 1) for name, values in errors.items()},
    }
    bridges = {"coco17": coco, "blazepose33": blazepose}
    save_bridges(options.out / "joint_bridge.json", bridges, about)
    lifter = train_lifter(lifting, stream)
    save_lifter(lifter, options.out / "lifting.safetensors")
    varied, _ = draw_poses(training, PRIOR_POSES, stream, varied=True)
    prior = fit_pose_prior(varied)
    save_pose_prior(prior, options.out / "pose_prior.safetensors")
    error, flat = depth_error(lifter, lifting_test, stream)
    about["depth of COCO's keypoints, held out, mm"] = [round(error, 1), "flat", round(flat, 1)]
    about["prior of held-out poses"] = float(prior.unlikeliness(mocap.test[::20]).mean())
    rows = {
        joint: [float(v[i].round(1)) for v in errors.values()] for i, joint in enumerate(JOINT_NAMES)
    }
    sys.stdout.write(json.dumps({**about, "by joint, mm": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
