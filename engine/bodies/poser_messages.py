"""What window and poser say to each other: JSON values and arrays by name, as frames of a pipe.

No torch and no Open3D here: the window imports this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

ARRAYS = "arrays"


def pack(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[memoryview]]:
    """Header and buffers of a message; the inverse of :func:`unpack`."""
    header: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    buffers: list[memoryview] = []
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            array = np.ascontiguousarray(value)
            arrays[name] = {"dtype": array.dtype.str, "shape": array.shape}
            buffers.append(memoryview(array.tobytes()))
        else:
            header[name] = value
    return {**header, ARRAYS: arrays}, buffers


def unpack(header: Mapping[str, Any], buffers: Sequence[bytes | memoryview]) -> dict[str, Any]:
    """The values of a message; arrays are read-only.

    Raises
    ------
    ValueError
        When the buffers are not what the header announces.
    """
    values = {name: value for name, value in header.items() if name != ARRAYS}
    arrays = dict(header.get(ARRAYS, {}))
    if len(arrays) != len(buffers):
        raise ValueError(f"{len(arrays)} arrays were announced, {len(buffers)} came")
    for (name, about), buffer in zip(arrays.items(), buffers, strict=True):
        dtype = np.dtype(about["dtype"])
        if dtype.hasobject:
            raise ValueError(f"the array {name} is not of numbers")
        values[name] = np.frombuffer(buffer, dtype).reshape(about["shape"])
    return values
