"""A backbone with a metric as one ONNX file: pictures in, vectors out, checked after writing.

Any program that takes embeddings takes it; ``triptych detect --appearance`` does.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from engine.adapt.backbone_files import Backbone
from engine.adapt.metric_export import CHECKED_ROWS, OPSET, TOLERANCE
from engine.adapt.metric_learning import MaPML
from engine.errors import EngineError, ErrorCode


class Embedding(nn.Module):
    """Pictures ``(B, 3, S, S)``, normalised as the backbone wants them, to vectors ``(B, r)``.

    Features of unit length, then what the metric does to them; without a metric these themselves.
    """

    def __init__(self, backbone: Backbone, metric: MaPML | None) -> None:
        super().__init__()
        self.model = backbone.model
        self.unit = True
        self.metric: nn.Linear | None = None
        if metric is not None:
            normaliser = metric.normaliser_
            factor = torch.from_numpy(metric.factor_.T / normaliser.scale)
            self.metric = nn.Linear(*metric.factor_.shape)
            self.metric.weight.data = factor.float()
            self.metric.bias.data = -(factor @ torch.from_numpy(normaliser.mean)).float()
            self.unit = metric.unit_embedding
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        features = F.normalize(self.model.features(x), dim=1)
        if self.metric is None:
            return features
        moved = self.metric(features)
        return F.normalize(moved, dim=1) if self.unit else moved


def export_embedding(
    backbone: Backbone,
    metric: MaPML | None,
    pictures: NDArray[np.uint8],
    about: Mapping[str, Any],
) -> tuple[bytes, float]:
    """The ONNX file, and how far it is from what torch computes.

    Parameters
    ----------
    backbone, metric
        What is put together.
    pictures
        ``(N, S, S, 3)`` uint8, of which the first 32 are compared.
    about
        What the file says of itself, JSON-ready.

    Raises
    ------
    EngineError
        ``internal`` when the file computes something else.
    """
    import onnx
    import onnxruntime

    model = Embedding(backbone, metric).eval()
    side = backbone.model.config.image_size
    seen = backbone.prepared(torch.from_numpy(pictures[:CHECKED_ROWS]))
    buffer = _traced(model, torch.zeros(2, 3, side, side))
    made = onnx.load_from_string(buffer)
    onnx.helper.set_model_props(
        made,
        {
            "mean": ",".join(map(str, backbone.mean)),
            "std": ",".join(map(str, backbone.deviation)),
            "about": json.dumps(about),
        },
    )
    data = made.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": seen.numpy()})[0]
    with torch.no_grad():
        difference = float((torch.from_numpy(found) - model(seen)).abs().max())
    if difference > TOLERANCE:
        raise EngineError(
            ErrorCode.INTERNAL,
            f"The ONNX file computed something else than the model (by {difference:.2g}); it was not "
            "kept.",
            "Please report this.",
        )
    return data, difference


def _traced(model: nn.Module, example: Tensor) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The exporter that needs no further library says that there is a newer one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            path := Path(folder) / "embedding.onnx",
            input_names=["image"],
            output_names=["embedding"],
            dynamic_axes={"image": {0: "n"}, "embedding": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()
