"""ONNX models as rewards: values, preparation, fall-back to the CPU, wrong models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch.nn import functional as F

from engine.errors import EngineError
from engine.images.rewards import RewardTerm
from engine.images.rewards.onnx_reward import OnnxReward
from engine.images.rewards.protocol import RewardContext, eight_bit
from tests.engine.images.rewards.helpers import pictures, raw_mix, reward

Shape = list[Any]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model of two nodes: means over height and width, then times 2: ``(B, 3)``."""

    def model(
        shape: Shape = ["b", 3, "h", "w"],  # noqa: B006
        kind: int = TensorProto.FLOAT,
        axes: tuple[int, ...] = (2, 3),
    ) -> Path:
        nodes = [
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
            helper.make_node("Add", ["mean", "mean"], ["y"]),
        ]
        given = helper.make_tensor_value_info("x", kind, shape)
        returned = helper.make_tensor_value_info("y", kind, None)
        constant = helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes)
        graph = helper.make_graph(nodes, "g", [given], [returned], [constant])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        file = tmp_path / "model.onnx"
        onnx.save(made, file)
        return file

    return model


def build(file: Path, device: str = "cpu", **options: Any) -> OnnxReward:
    built = reward("onnx", RewardContext(device=device), file=str(file), **options)
    assert isinstance(built, OnnxReward)
    return built


def test_values_are_those_of_the_chosen_output(write: Callable[..., Path]) -> None:
    x = eight_bit(pictures())
    for output in range(3):
        values = build(write(), output=output).batch(x, RewardContext())
        torch.testing.assert_close(values.float(), 2 * x.mean(dim=(2, 3))[:, output])
    term = RewardTerm(name="onnx", options={"file": str(write())})
    mix = raw_mix(term)
    assert mix.kind == "value"
    torch.testing.assert_close(mix.total(x)[0], 2 * x.mean(dim=(2, 3))[:, 0])


def test_pictures_are_resized_and_scaled_as_it_was_told(write: Callable[..., Path]) -> None:
    x = eight_bit(pictures())
    values = build(write(), size=8, mean=[0.5, 0, 0], std=[0.25, 1, 1]).batch(x, RewardContext())
    small = F.interpolate(x, (8, 8), mode="bicubic", antialias=True).clamp(0, 1)
    torch.testing.assert_close(values.float(), 2 * (small[:, 0].mean(dim=(1, 2)) - 0.5) / 0.25)


def test_a_fixed_size_and_batch_are_followed(write: Callable[..., Path]) -> None:
    x = eight_bit(pictures(5))
    values = build(write([2, 3, 12, 12])).batch(x, RewardContext())
    torch.testing.assert_close(values.float(), 2 * x[:, 0].mean(dim=(1, 2)))
    larger = build(write([1, 3, 16, 16])).batch(x, RewardContext())
    assert larger.shape == (5,)
    with pytest.raises(EngineError, match="16 x 16 pixels only, not of 8"):
        build(write([1, 3, 16, 16]), size=8)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_precisions_are_fed(write: Callable[..., Path], kind: int) -> None:
    x = eight_bit(pictures())
    values = build(write(kind=kind)).batch(x, RewardContext())
    torch.testing.assert_close(values.float(), 2 * x[:, 0].mean(dim=(1, 2)), rtol=1e-2, atol=1e-2)


def test_a_gpu_that_is_listed_but_not_there_falls_back(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    real = onnxruntime.InferenceSession

    def session(path: str, settings: Any, providers: list[str]) -> Any:
        asked.append(providers)
        if "CUDAExecutionProvider" in providers:
            raise RuntimeError("libcublas.so is not there")
        return real(path, settings, providers=providers)

    listed = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    built = build(write(), device="cuda:0")
    assert asked == [["CUDAExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"]]
    assert built.title == "model.onnx (CPU)"
    build(write(), device="cpu")
    assert asked[2:] == [["CPUExecutionProvider"]], "a job on the CPU stays there"


def test_the_gpu_is_shown_where_it_runs(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnxruntime.InferenceSession

    class OnGpu:
        def __init__(self, path: str, settings: Any, providers: list[str]) -> None:
            self.inner, self.providers = real(path, settings, ["CPUExecutionProvider"]), providers

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def get_providers(self) -> list[str]:
            return self.providers

    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnGpu)
    assert build(write(), device="cuda").title == "model.onnx (GPU)"


@pytest.mark.parametrize(
    ("shape", "options", "told"),
    [
        (["b", 1, "h", "w"], {}, r"takes tensor\(float\) of shape \['b', 1, 'h', 'w'\], not pictures"),
        (["b", 3, "h"], {}, "not pictures"),
        (["b", 3, "h", "w"], {"std": [0, 1, 1]}, "deviation of 0"),
        (["b", 3, "h", "w"], {"file": ""}, "No file is given"),
        (["b", 3, "h", "w"], {"file": "absent.onnx"}, "Looked for .*absent.onnx"),
    ],
)
def test_wrong_models_and_settings_are_said(
    write: Callable[..., Path], shape: Shape, options: dict[str, Any], told: str
) -> None:
    axes = (2,) if len(shape) == 3 else (2, 3)
    with pytest.raises(EngineError, match=told):
        reward("onnx", **{"file": str(write(shape, axes=axes)), **options})


def test_outputs_that_are_not_there_or_not_one_a_picture_are_said(write: Callable[..., Path]) -> None:
    x = eight_bit(pictures(4))
    with pytest.raises(EngineError, match=r"returns 3 number\(s\).*no number 7"):
        build(write(), output=7).batch(x, RewardContext())
    with pytest.raises(EngineError, match=r"shape \(3, 12, 12\) for 4 picture"):
        build(write(axes=(0,))).batch(x, RewardContext())


def test_a_file_that_is_no_model_is_said(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(EngineError, match="cannot be loaded as an ONNX model") as caught:
        reward("onnx", file=str(file))
    assert caught.value.code == "bad_file"
    assert caught.value.detail
