"""Networks from files: batches, further inputs, wrong ones. (Providers: see the tests of detectors.)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from engine.errors import EngineError
from engine.onnx_runtime import PictureModel

TOLD = "sizes"


def model(path: Path, batch: Any, *, further: bool = False, whole: bool = False) -> Path:
    """Means of a picture's colours ``(N, 3)``; plus the further input; summed up over all pictures."""
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0)]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, "h", "w"])]
    last = "mean"
    if further:
        inputs.append(helper.make_tensor_value_info(TOLD, TensorProto.INT64, [batch, 1]))
        nodes += [
            helper.make_node("Cast", [TOLD], ["told"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["mean", "told"], ["sum"]),
        ]
        last = "sum"
    first = numpy_helper.from_array(np.array([0]), "first")
    if whole:
        nodes.append(helper.make_node("ReduceSum", [last, "first"], ["total"], keepdims=1))
        last = "total"
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [axes, first])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    save_model(made, str(path))
    return path


@pytest.mark.parametrize("batch", ["n", 1, 2, 4])
def test_any_number_of_pictures_is_given_as_the_file_wants(tmp_path: Path, batch: Any) -> None:
    network = PictureModel(model(tmp_path / "m.onnx", batch, further=True), (TOLD,))
    pictures = np.random.default_rng(1).uniform(size=(5, 6, 7, 3))
    told = np.arange(5)[:, None]
    (found,) = network.run_batch(pictures, {TOLD: told}).values()
    expected = pictures.mean(axis=(1, 2)) + told
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    (one,) = network.run(pictures[3], {TOLD: told[3:4]}).values()
    np.testing.assert_allclose(one, expected[3:4], rtol=1e-5)


def test_a_model_that_mixes_its_batch_gets_one_picture_at_a_time(tmp_path: Path) -> None:
    network = PictureModel(model(tmp_path / "m.onnx", "n", whole=True))
    pictures = np.random.default_rng(1).uniform(size=(3, 6, 7, 3))
    for _ in range(2):
        (found,) = network.run_batch(pictures).values()
        np.testing.assert_allclose(found, pictures.mean(axis=(1, 2)), rtol=1e-5)


def test_inputs_that_nobody_fills_are_refused(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", 1, further=True)
    with pytest.raises(EngineError, match=r"does not take one picture.*sizes tensor\(int64\)"):
        PictureModel(path)
