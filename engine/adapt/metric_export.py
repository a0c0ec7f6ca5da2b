"""A learned metric as a file: ONNX for other programs, checked after writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.adapt.metric_learning import MaPML
from engine.errors import EngineError, ErrorCode, bad_file

OPSET = 17
TOLERANCE = 1e-4
CHECKED_ROWS = 32


def metric_graph(model: MaPML) -> Any:
    """The ONNX model of :meth:`MaPML.transform`: ``features`` ``(n, d)`` to ``embedding`` ``(n, r)``.

    Centring, scale and, where the model has it, the division by the length are part of the graph.
    """
    from onnx import TensorProto, helper, numpy_helper

    normaliser = model.normaliser_
    constants = {
        "mean": normaliser.mean.astype(np.float32),
        "scale": np.float32(normaliser.scale),
        "metric": model.factor_.astype(np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
    ]
    if model.unit_embedding:
        constants["least"] = np.float32(1e-12)
        nodes += [
            helper.make_node("MatMul", ["scaled", "metric"], ["moved"]),
            helper.make_node("ReduceL2", ["moved"], ["length"], axes=[1], keepdims=1),
            helper.make_node("Max", ["length", "least"], ["divisor"]),
            helper.make_node("Div", ["moved", "divisor"], ["embedding"]),
        ]
    else:
        nodes.append(helper.make_node("MatMul", ["scaled", "metric"], ["embedding"]))
    width, rank = model.factor_.shape
    graph = helper.make_graph(
        nodes,
        "metric",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", rank])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    made = helper.make_model(graph, opset_imports=opset, producer_name="triptych", ir_version=8)
    helper.set_model_props(made, {"classes": ", ".join(map(str, model.classes_))})
    return made


def export_onnx(model: MaPML, path: Path, features: Any) -> float:
    """Write the model, run the file, and compare with :meth:`MaPML.transform`.

    Parameters
    ----------
    model
        Fitted.
    path
        Of the file; one that is there is replaced.
    features
        ``(n, d)``; the first 32 are compared.

    Returns
    -------
    float
        Largest difference, relative to the largest value where that is above 1.

    Raises
    ------
    EngineError
        ``internal`` when the file computes something else; it is removed then. ``bad_file`` when it
        cannot be written.
    """
    import onnxruntime

    data = metric_graph(model).SerializeToString()
    try:
        path.write_bytes(data)
    except OSError as error:
        raise bad_file(f"{path} could not be written ({error}); the model is as before.") from error
    rows = np.asarray(features, np.float64)[:CHECKED_ROWS]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = session.run(None, {"features": rows.astype(np.float32)})[0]
    wanted = model.transform(rows)
    difference = float(np.abs(found - wanted).max() / max(1.0, float(np.abs(wanted).max())))
    if difference > TOLERANCE:
        path.unlink()
        raise EngineError(
            ErrorCode.INTERNAL,
            f"The ONNX file computed something else than the model (by {difference:.2g}) and was "
            "removed; the model is as before.",
            "Please report this.",
        )
    return difference
