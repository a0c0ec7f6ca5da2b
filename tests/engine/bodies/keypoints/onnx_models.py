"""Small ONNX files that find one bright spot, with outputs of the kinds that are known.

They compute the centre of what is brighter than a threshold, so tests see whether pictures reach a
model where, and as, they should, and whether its answers come back to where the spot is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

WIDTH, HEIGHT = 96, 128


class Graph:
    """Nodes and constants of a model that takes one picture called ``picture``."""

    def __init__(self, width: int = WIDTH, height: int = HEIGHT, channels_last: bool = False) -> None:
        self.width, self.height, self.channels_last = width, height, channels_last
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, values: Any, name: str, dtype: Any = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def spot(self, threshold: float, channel: int = 0) -> tuple[str, str, str]:
        """``(1, 1, h, w)`` brightness above a threshold in one channel, and its centre, x and y.

        The centre has the shape ``(1, 1, 1)``, in pixels from the outer corner of the first one.
        """
        picture = "picture"
        if self.channels_last:
            picture = self.add("Transpose", [picture], "channels_first", perm=[0, 3, 1, 2])
        picture = self.add("Cast", [picture], "numbers", to=TensorProto.FLOAT)
        index = self.constant([channel], "channel", np.int64)
        one = self.add("Gather", [picture, index], "one", axis=1)
        above = self.add("Sub", [one, self.constant(threshold, "threshold")], "above")
        bright = self.add("Relu", [above], "bright")
        places = {"x": np.arange(self.width) + 0.5, "y": np.arange(self.height)[:, None] + 0.5}
        axes = self.constant([2, 3], "axes", np.int64)
        mass = self.add("ReduceSum", [bright, axes], "mass", keepdims=0)
        mass = self.add("Add", [mass, self.constant(1e-6, "tiny")], "some_mass")
        found = []
        for name, where in places.items():
            part = self.add("Mul", [bright, self.constant(where, f"at_{name}")], f"weighted_{name}")
            total = self.add("ReduceSum", [part, axes], f"total_{name}", keepdims=0)
            mean = self.add("Div", [total, mass], f"mean_{name}")
            axis = self.constant([2], f"axis_{name}", np.int64)
            found.append(self.add("Unsqueeze", [mean, axis], f"centre_{name}"))
        return bright, found[0], found[1]

    def save(
        self,
        path: Path,
        outputs: list[str],
        dynamic: bool = False,
        dtype: int = TensorProto.FLOAT,
        metadata: dict[str, str] | None = None,
    ) -> Path:
        size: list[Any] = ["height", "width"] if dynamic else [self.height, self.width]
        shape = ["batch", *size, 3] if self.channels_last else ["batch", 3, *size]
        graph = helper.make_graph(
            self.nodes,
            "spot",
            [helper.make_tensor_value_info("picture", dtype, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, metadata or {})
        save_model(model, str(path))
        return path


def heat_model(path: Path, count: int = 17, stride: int = 4, **settings: Any) -> Path:
    """Heat maps of a spot brighter than half of white, in ImageNet's colours: ``(1, K, h, w)``."""
    graph = Graph(**{key: settings.pop(key) for key in ("width", "height") if key in settings})
    bright, *_ = graph.spot(0.0)
    # Cell i stands for pixel i * stride; a smooth map of it has its maximum there.
    kernel = np.exp(-((np.arange(-8, 9)[:, None] ** 2 + np.arange(-8, 9) ** 2) / 2 / 3.0**2))
    weights = graph.constant((kernel / 50)[None, None], "kernel")
    smooth = graph.add("Conv", [bright, weights], "smooth", pads=[8] * 4, strides=[stride, stride])
    shape = graph.constant([1, count, 1, 1], "shape", np.int64)
    graph.add("Expand", [smooth, shape], "heat")
    return graph.save(path, ["heat"], **settings)


def simcc_model(
    path: Path, count: int = 17, split: int = 2, swapped: bool = False, **settings: Any
) -> Path:
    """SimCC of the centre of a spot, in ImageNet's colours: ``(1, K, 2 w)`` and ``(1, K, 2 h)``."""
    graph = Graph(**{key: settings.pop(key) for key in ("width", "height") if key in settings})
    _, x, y = graph.spot(0.0)
    for name, centre, length in (("simcc_x", x, graph.width), ("simcc_y", y, graph.height)):
        places = np.arange(length * split) / split + 0.5
        away = graph.add("Sub", [graph.constant(places, f"places_{name}"), centre], f"away_{name}")
        square = graph.add("Mul", [away, away], f"square_{name}")
        minus = graph.add("Neg", [square], f"minus_{name}")
        near = graph.add("Exp", [minus], f"near_{name}")
        shape = graph.constant([1, count, 1], f"shape_{name}", np.int64)
        graph.add("Expand", [near, shape], name)
    return graph.save(path, ["simcc_y", "simcc_x"] if swapped else ["simcc_x", "simcc_y"], **settings)


def yolo_model(
    path: Path,
    kind: str = "new",
    count: int = 17,
    numbers: int = 3,
    threshold: float = 0.5,
    rows: int = 1500,
    **settings: Any,
) -> Path:
    """Rows of which the first three are the spot: sure, less sure, and of little score.

    ``new``: (1, C, A); ``old``: (1, A, C) with a score for things; ``chosen``: (1, 300, C) of corners;
    ``transposed``: (1, A, C) of the new kind. A box is 20 wide and 40 high around the spot.
    """
    graph = Graph(**{key: settings.pop(key) for key in ("width", "height") if key in settings})
    _, x, y = graph.spot(threshold)
    rows = 300 if kind == "chosen" else rows
    shifts = {"chosen": [(-10, x), (-20, y), (10, x), (20, y)]}.get(kind, [(0, x), (0, y)])
    places = [
        graph.add("Add", [of, graph.constant(float(shift), f"shift{i}")], f"corner{i}")
        for i, (shift, of) in enumerate(shifts)
    ]
    head = list(places)
    if kind != "chosen":
        head += [graph.constant([[[20.0]]], "wide"), graph.constant([[[40.0]]], "high")]
    fixed = {"old": [1.0, 1.0], "chosen": [1.0, 0.0]}.get(kind, [1.0])
    scores = [[0.9, 0.7, 0.1]] + [[value] * 3 for value in fixed[1:]]
    top = graph.add("Concat", head, "top", axis=1)
    three = graph.constant([1, 1, 3], "three", np.int64)
    top = graph.add("Expand", [top, three], "top_rows")
    parts = [top, graph.constant([scores], "scores")]
    if count:
        sure = [graph.constant([[[0.8]]], "sure")] if numbers == 3 else []
        point = graph.add("Concat", [x, y, *sure], "point", axis=1)
        times = graph.constant([1, count, 3], "times", np.int64)
        parts.append(graph.add("Tile", [point, times], "points"))
    used = graph.add("Concat", parts, "used", axis=1)
    channels = 4 + len(scores) + count * numbers
    empty = graph.constant(np.zeros((1, channels, rows - 3)), "empty")
    graph.add("Concat", [used, empty], "channels_first_rows", axis=2)
    if kind == "new":
        graph.add("Identity", ["channels_first_rows"], "output0")
    else:
        graph.add("Transpose", ["channels_first_rows"], "output0", perm=[0, 2, 1])
    return graph.save(path, ["output0"], **settings)


def rtmo_model(path: Path, threshold: float = 200.0, **settings: Any) -> Path:
    """One person at the spot of the third channel, as bytes; ``dets`` and ``keypoints``."""
    graph = Graph(**{key: settings.pop(key) for key in ("width", "height") if key in settings})
    _, x, y = graph.spot(threshold, channel=2)
    corners = [
        graph.add("Add", [of, graph.constant(shift, f"shift{i}")], f"corner{i}")
        for i, (shift, of) in enumerate([(-10.0, x), (-20.0, y), (10.0, x), (20.0, y)])
    ]
    graph.add("Concat", [*corners, graph.constant([[[0.75]]], "score")], "dets", axis=2)
    point = graph.add("Concat", [x, y, graph.constant([[[0.5]]], "sure")], "point", axis=2)
    last = graph.constant([1], "last", np.int64)
    one = graph.add("Unsqueeze", [point, last], "one_point")
    graph.add("Expand", [one, graph.constant([1, 1, 17, 3], "shape", np.int64)], "keypoints")
    return graph.save(path, ["dets", "keypoints"], **settings)
