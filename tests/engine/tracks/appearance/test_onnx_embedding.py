"""Embeddings from files, ensembles of descriptors, and the cache before slow ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from engine.errors import EngineError
from engine.tracks.appearance.cache import Cached, FeatureCache
from engine.tracks.appearance.catalogue import OnnxOptions, load_appearance
from engine.tracks.appearance.ensemble import Ensemble
from engine.tracks.appearance.onnx_embedding import OnnxEmbedding


def model(
    path: Path,
    *,
    batch: Any = "n",
    size: tuple[Any, Any] = ("h", "w"),
    metadata: dict[str, str] | None = None,
    keep: bool = False,
) -> Path:
    """Means of the left half of a picture's colours: ``(N, 3)``, or ``(N, 3, 1, 1)`` with ``keep``."""
    constants = {"axes": [2, 3], "start": [0], "end": [4], "axis": [3]}
    nodes = [
        helper.make_node("Slice", ["x", "start", "end", "axis"], ["left"]),
        helper.make_node("ReduceMean", ["left", "axes"], ["mean"], keepdims=int(keep)),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, *size])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(v), name) for name, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(made, metadata or {})
    save_model(made, str(path))
    return path


def halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> np.ndarray:
    picture = np.empty((16, 24, 3), np.uint8)
    picture[:, :12], picture[:, 12:] = left, right
    return picture


PICTURES = [halves((200, 100, 50), (10, 20, 200)), halves((0, 255, 0), (0, 0, 255))]


def expected(values: Sequence[Sequence[float]]) -> np.ndarray:
    array = np.array(values, np.float64)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def embed(path: Path, **options: Any) -> OnnxEmbedding:
    return OnnxEmbedding(OnnxOptions(path=str(path), **options))


@pytest.mark.parametrize("batch", ["n", 1, 3])
@pytest.mark.parametrize("keep", [False, True])
def test_pictures_are_given_as_the_network_wants_them(tmp_path: Path, batch: Any, keep: bool) -> None:
    path = model(tmp_path / "m.onnx", batch=batch, size=(8, 8), keep=keep)
    assert embed(path).size == (8, 8)
    np.testing.assert_allclose(
        embed(path, colours="unit").describe(PICTURES),
        expected([[200, 100, 50], [0, 255, 0]]),
        atol=1e-5,
    )
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    scaled = (np.array([[200, 100, 50], [0, 255, 0]]) - mean) / std
    np.testing.assert_allclose(embed(path).describe(PICTURES), expected(scaled), atol=1e-5)
    np.testing.assert_allclose(
        embed(path, order="bgr").describe(PICTURES), expected(scaled[:, ::-1]), atol=1e-5
    )
    both = scaled + (np.array([[10, 20, 200], [0, 0, 255]]) - mean) / std
    np.testing.assert_allclose(embed(path, flip=True).describe(PICTURES), expected(both), atol=1e-5)
    assert embed(path).describe([]).shape == (0, 3)


def test_size_and_scale_are_read_or_given(tmp_path: Path) -> None:
    told = {"mean": "[0.5, 0.5, 0.5]", "std": "(0.25, 0.25, 0.25)"}
    read = embed(model(tmp_path / "a.onnx", metadata=told), width=8, height=8)
    values = (np.array([[200, 100, 50], [0, 255, 0]]) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(read.describe(PICTURES), expected(values), atol=1e-5)
    assert read.assumptions == (
        "colours: RGB, mean and deviation of the file",
        "size of the input: 8 x 8",
    )
    byte = embed(
        model(tmp_path / "b.onnx", metadata={"mean": "[128]*3", "std": "no"}), width=8, height=8
    )
    assert "ImageNet" in byte.assumptions[0]
    assert read.identity != byte.identity != embed(tmp_path / "b.onnx", width=9).identity


def test_networks_without_vectors_are_refused(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    save_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path)
    )
    with pytest.raises(EngineError, match=r"does not return a vector.*y \[1, 3, 8, 8\]"):
        embed(path)
    with pytest.raises(EngineError, match="no appearance called 'build-in'") as caught:
        load_appearance("build-in")
    assert "built-in" in caught.value.hint
    with pytest.raises(EngineError, match="settings of the appearance built-in are wrong: size"):
        load_appearance("built-in", size=3)


class Fixed:
    """Gives one vector for every picture, and counts."""

    def __init__(self, *vector: float) -> None:
        self._vector = np.array(vector, np.float32)
        self.name = self.identity = str(vector)
        self.dimension, self.calls = len(vector), 0

    def describe(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        self.calls += len(pictures)
        return np.tile(self._vector, (len(pictures), 1))


def test_cosines_of_an_ensemble_are_the_weighted_mean_of_its_parts() -> None:
    built_in = load_appearance("built-in")
    both = Ensemble([built_in, Fixed(0.6, 0.8)], [3, 1])
    assert both.dimension == built_in.dimension + 2
    one, other = both.describe(PICTURES)
    a, b = built_in.describe(PICTURES)
    assert one @ other == pytest.approx(0.75 * (a @ b) + 0.25, abs=1e-5)
    mean = Ensemble([Fixed(1, 0), Fixed(0, 1)], how="mean").describe(PICTURES)
    np.testing.assert_allclose(mean, np.full((2, 2), np.sqrt(0.5)), rtol=1e-6)
    for parts, weights, how in (
        ([], None, "mean"),
        ([Fixed(1)], [0], "mean"),
        ([Fixed(1), built_in], None, "mean"),
    ):
        with pytest.raises(EngineError, match="cannot be put together"):
            Ensemble(parts, weights, how)  # type: ignore[arg-type]


def test_nothing_is_computed_twice_for_one_model(tmp_path: Path) -> None:
    inner, cache = Fixed(0.6, 0.8), FeatureCache(tmp_path)
    cached = Cached(inner, cache)
    first = cached.describe([*PICTURES, PICTURES[0]])
    assert (inner.calls, cached.computed, first.shape) == (2, 2, (3, 2))
    cache.close()
    again = Cached(inner, FeatureCache(tmp_path))
    np.testing.assert_array_equal(again.describe(PICTURES), first[:2])
    assert again.computed == 0
    assert Cached(Fixed(1, 0), FeatureCache(tmp_path)).describe(PICTURES)[0].tolist() == [1, 0]
    assert again.describe([]).shape == (0, 2)


def test_the_cache_is_bounded_and_the_longest_unused_go_first(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, most_bytes=4000)
    for number in range(10):
        cache.put({bytes([number]): np.full(100, number, np.float32)})
        assert cache.get([b"\0"]), "what is used stays"
    for number in range(10, 30):
        cache.put({bytes([number]): np.full(100, number, np.float32)})
        assert cache.get([b"\0"])
    assert cache.size <= 4000
    found = cache.get([bytes([number]) for number in range(30)])
    assert {b"\0", bytes([29])} <= found.keys()
    assert bytes([5]) not in found
    np.testing.assert_array_equal(found[bytes([29])], np.full(100, 29, np.float32))


def test_a_cache_that_cannot_be_used_is_in_nobodys_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    FeatureCache(tmp_path).close()
    (file,) = tmp_path.glob("*.sqlite")
    file.write_bytes(b"nothing of the kind" * 100)
    with caplog.at_level(logging.WARNING, "triptych.tracks"):
        cache = FeatureCache(tmp_path)
    assert "damaged" in caplog.text
    cache.put({b"a": np.ones(3, np.float32)})
    assert cache.size == 12
    cache._connection.execute("DROP TABLE features")  # type: ignore[union-attr]
    inner = Fixed(0.6, 0.8)
    assert Cached(inner, cache).describe(PICTURES).shape == (2, 2)
    assert (inner.calls, cache.size) == (2, 0)
    (tmp_path / "file").write_text("")
    assert FeatureCache(tmp_path / "file" / "folder").get([b"a"]) == {}


def test_a_model_from_a_file_uses_the_cache_of_the_user(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", size=(8, 8))
    first, second = (load_appearance(str(path)) for _ in range(2))
    np.testing.assert_array_equal(first.describe(PICTURES), second.describe(PICTURES))
    assert isinstance(second, Cached)
    assert second.computed == 0
