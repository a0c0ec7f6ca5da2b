"""Small ONNX detectors that find one bright spot, with outputs of the layouts that are known.

The spot's box is 20 wide and 40 high in pixels of the input, its score 0.9, its class 2 of 4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, save_model

from tests.engine.bodies.keypoints.onnx_models import Graph

WIDTH, HEIGHT = 96, 128
WIDE, HIGH, SCORE, KIND, KINDS = 20.0, 40.0, 0.9, 2, 4
CELLS = [
    (column, row, stride)
    for stride in (8, 16, 32)
    for row in range(HEIGHT // stride)
    for column in range(WIDTH // stride)
]
SPOT_ROW = len(CELLS) - 5


class DetectorGraph(Graph):
    """Nodes of a detector; numbers of the spot have the shape ``(N, 1, 1)``."""

    def __init__(self, threshold: float = 0.5, channel: int = 0, **settings: Any) -> None:
        super().__init__(**settings)
        _, self.x, self.y = self.spot(threshold, channel)
        self.count = 0

    def number(self, value: float, times: str = "", factor: float = 0.0) -> str:
        """``value + factor * times`` for each picture."""
        self.count += 1
        name = f"number{self.count}"
        scaled = self.add("Mul", [times or self.x, self.constant(factor, f"{name}f")], f"{name}m")
        return self.add("Add", [scaled, self.constant(value, f"{name}v")], name)

    def column(self, numbers: list[str], name: str, rows: int, at: int, others: Any = 0.0) -> str:
        """``(N, numbers, rows)``: the numbers in one row, ``others`` ``(numbers, rows)`` elsewhere."""
        here = np.zeros((1, 1, rows))
        here[..., at] = 1
        one = self.add("Concat", numbers, f"{name}_one", axis=1)
        placed = self.add("Mul", [one, self.constant(here, f"{name}_here")], f"{name}_placed")
        rest = np.broadcast_to(others, (len(numbers), rows))[None] * (1 - here)
        return self.add("Add", [placed, self.constant(rest, f"{name}_rest")], name)

    def scores(self, value: float = SCORE, rest: float = 0.0, kinds: int = KINDS) -> list[str]:
        return [self.number(value if kind == KIND else rest) for kind in range(kinds)]

    def corners(self, scale: tuple[float, float] = (1.0, 1.0)) -> list[str]:
        """Left, top, right, bottom."""
        return [
            self.number(sign * size / 2 * s, of, s)
            for sign in (-1, 1)
            for of, size, s in ((self.x, WIDE, scale[0]), (self.y, HIGH, scale[1]))
        ]

    def centre(self, scale: tuple[float, float] = (1.0, 1.0)) -> list[str]:
        """Centre and size."""
        return [
            self.number(0, self.x, scale[0]), self.number(0, self.y, scale[1]),
            self.number(WIDE * scale[0]), self.number(HIGH * scale[1]),
        ]  # fmt: skip

    def rows(self, name: str) -> str:
        return self.add("Transpose", [name], f"{name}_rows", perm=[0, 2, 1])

    def write(
        self,
        path: Path,
        outputs: dict[str, str],
        *,
        batch: Any = "n",
        dynamic: bool = False,
        metadata: dict[str, str] | None = None,
        further: tuple[Any, ...] = (),
        dtype: int = TensorProto.FLOAT,
    ) -> Path:
        for name, inner in outputs.items():
            self.add("Identity", [inner], name)
        size: list[Any] = ["h", "w"] if dynamic else [self.height, self.width]
        inputs = [helper.make_tensor_value_info("picture", dtype, [batch, 3, *size]), *further]
        shown = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "detector", inputs, shown, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, metadata or {})
        save_model(model, str(path))
        return path


UNIT = (1 / WIDTH, 1 / HEIGHT)


def yolov8(path: Path, *, transposed: bool = False, extra: int = 0, **settings: Any) -> Path:
    """(N, 4 + C, A)."""
    graph = DetectorGraph(**settings.pop("graph", {}))
    numbers = [*graph.centre(), *graph.scores(), *(graph.number(0.3) for _ in range(extra))]
    out = graph.column(numbers, "out", len(CELLS), SPOT_ROW)
    return graph.write(path, {"output0": graph.rows(out) if transposed else out}, **settings)


def yolov5(path: Path, **settings: Any) -> Path:
    """(N, A, 5 + C), three boxes in each cell; the score is 0.95 of a thing times the class's."""
    graph = DetectorGraph()
    numbers = [*graph.centre(), graph.number(0.95), *graph.scores(SCORE / 0.95)]
    return graph.write(
        path, {"output": graph.rows(graph.column(numbers, "out", 3 * len(CELLS), 300))}, **settings
    )


def yolox(path: Path, *, raw: bool, **settings: Any) -> Path:
    """(N, A, 5 + C), bytes in the order of OpenCV; decoded, or relative to the cells."""
    graph = DetectorGraph(threshold=130.0, channel=2)
    column, row, stride = CELLS[SPOT_ROW]
    others = np.zeros((5 + KINDS, len(CELLS)))
    if raw:
        box = [
            graph.number(-column, graph.x, 1 / stride), graph.number(-row, graph.y, 1 / stride),
            graph.number(np.log(WIDE / stride)), graph.number(np.log(HIGH / stride)),
        ]  # fmt: skip
    else:
        box = graph.centre()
        cells = np.array(CELLS, float)
        others[:2] = ((cells[:, :2] + 0.5) * cells[:, 2:]).T
        others[2:4] = cells[:, 2]
    numbers = [*box, graph.number(1.0), *graph.scores()]
    out = graph.rows(graph.column(numbers, "out", len(CELLS), SPOT_ROW, others))
    return graph.write(path, {"output": out}, **settings)


def chosen(path: Path, **settings: Any) -> Path:
    """(N, 300, 6): corners, score, class."""
    graph = DetectorGraph()
    numbers = [*graph.corners(), graph.number(SCORE), graph.number(KIND)]
    return graph.write(path, {"output0": graph.rows(graph.column(numbers, "out", 300, 0))}, **settings)


def rtdetr(path: Path, **settings: Any) -> Path:
    """(N, 300, 4 + C), shares of the picture."""
    graph = DetectorGraph()
    numbers = [*graph.centre(UNIT), *graph.scores()]
    return graph.write(path, {"output0": graph.rows(graph.column(numbers, "out", 300, 7))}, **settings)


def detr(path: Path, *, softmax: bool, mask: bool = False, **settings: Any) -> Path:
    """Logits (N, 100, C) or with one more for nothing, and boxes (N, 100, 4)."""
    kinds = 92 if softmax else KINDS
    rest, nothing = -10.0, np.full((kinds, 1), -10.0)
    sure = np.log(SCORE / (1 - SCORE)) if not softmax else np.log(SCORE / (1 - SCORE)) + rest
    # ImageNet's colours: black is about -2, white about 2.
    graph = DetectorGraph(threshold=0.0) if softmax else DetectorGraph()
    scores = graph.scores(sure + (np.log(91) if softmax else 0), rest, kinds)
    if softmax:
        nothing[-1] = 10.0
    logits = graph.column(scores, "l", 100, 40, nothing)
    boxes = graph.column(graph.centre(UNIT), "b", 100, 40)
    shape = ["n", "mh", "mw"]
    further = (helper.make_tensor_value_info("pixel_mask", TensorProto.INT64, shape),) if mask else ()
    outputs = {"logits": graph.rows(logits), "pred_boxes": graph.rows(boxes)}
    return graph.write(path, outputs, further=further, **settings)


def labelled(path: Path, *, kind: str, **settings: Any) -> Path:
    """``rtdetr``: labels, boxes scaled by sizes that it is told, scores; ``mmdeploy``: dets, labels."""
    graph = DetectorGraph() if kind == "rtdetr" else DetectorGraph(threshold=0.6)
    labels = graph.column([graph.number(KIND)], "ls", 50, 0, -1.0)
    axis = graph.constant([1], "one_axis", np.int64)
    labels = graph.add("Squeeze", [labels, axis], "flat_labels")
    if kind == "mmdeploy":
        dets = graph.column([*graph.corners(), graph.number(SCORE)], "d", 50, 0)
        return graph.write(path, {"dets": graph.rows(dets), "labels": labels}, **settings)
    scores = graph.add("Squeeze", [graph.column([graph.number(SCORE)], "s", 50, 0), axis], "flat")
    boxes = graph.rows(graph.column(graph.corners(UNIT), "b", 50, 0))
    sizes = graph.add("Cast", ["orig_target_sizes"], "sizes", to=TensorProto.FLOAT)
    twice = graph.add("Concat", [sizes, sizes], "twice", axis=1)
    scale = graph.add("Unsqueeze", [twice, axis], "scale")
    pixels = graph.add("Mul", [boxes, scale], "pixels")
    told = helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["n", 2])
    outputs = {"labels": labels, "boxes": pixels, "scores": scores}
    return graph.write(path, outputs, further=(told,), **settings)
