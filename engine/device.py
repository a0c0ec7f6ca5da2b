"""Where jobs compute: choice of device, its memory, and the models that stay loaded on it."""

from __future__ import annotations

import platform
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import psutil

from engine.errors import EngineError, invalid_input

T = TypeVar("T")

USABLE_SHARE = 0.8
"""Share of the free memory that one job may plan with; the rest is for everybody else."""


def resolve(device: str) -> str:
    """The device that a request means here: ``cpu``, ``cuda:N`` or ``mps``.

    Parameters
    ----------
    device
        ``auto`` (the best there is), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises
    ------
    EngineError
        ``invalid_input`` when the word is unknown or this machine has no such device.
    """
    if device == "cpu":
        return "cpu"
    kind, _, number = device.partition(":")
    if device not in ("auto", "cuda", "mps") and not (kind == "cuda" and number.isdecimal()):
        raise invalid_input(
            f"{device!r} is not a device; nothing was started.",
            "Use auto, cpu, cuda, cuda:0, cuda:1, ... or mps.",
        )
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if device == "auto":
        return "cuda:0" if count else "mps" if has_mps else "cpu"
    if kind == "mps":
        if has_mps:
            return "mps"
        raise invalid_input(
            "The device 'mps' is a GPU of an Apple computer, and this machine has none; nothing "
            "was started.",
            "Use the device auto or cpu.",
        )
    index = int(number or 0)
    if index < count:
        return f"cuda:{index}"
    if count:
        raise invalid_input(
            f"The device {device!r} is not there; this machine has {count} CUDA device(s), "
            "numbered from 0. Nothing was started.",
            f"Use cuda:{count - 1}, or auto.",
        )
    reason = (
        "the installed torch is built without CUDA"
        if torch.version.cuda is None
        else "no NVIDIA GPU with a working driver was found"
    )
    raise invalid_input(
        f"The device {device!r} is not there: {reason}. Nothing was started.",
        "Use the device auto or cpu; `triptych doctor` lists what this machine has.",
    )


def peers(requested: str, resolved: str) -> list[str]:
    """The devices that may share the work of a job, the resolved one first.

    Who asked for ``auto`` or ``cuda`` gets every CUDA GPU; who named one device gets that.
    """
    if not resolved.startswith("cuda") or requested not in ("auto", "cuda"):
        return [resolved]
    import torch

    others = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [resolved, *(name for name in others if name != resolved)]


@cache
def torch_version() -> str:
    """Version of torch, without importing it."""
    try:
        return version("torch")
    except PackageNotFoundError:
        import torch

        return str(torch.__version__)


@cache
def device_name(device: str) -> str:
    """What the maker calls a resolved device."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    if device == "mps":
        return f"Apple {platform.machine()} GPU"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory_total(device: str) -> int:
    """Bytes of memory that a resolved device has."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total)


def memory_budget(device: str) -> int:
    """Bytes that a job on a resolved device may plan with now.

    On a GPU, memory that torch holds but does not use counts as free.
    """
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int((free + held) * USABLE_SHARE)
    if device == "mps":
        import torch

        free = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        return int(max(0, free) * USABLE_SHARE)
    return int(psutil.virtual_memory().available * USABLE_SHARE)


def describe() -> dict[str, Any]:
    """What there is to compute with, JSON-ready; imports torch.

    ``device``, ``device_name``, ``memory_bytes`` and ``memory_budget`` are of the device that
    ``auto`` means; ``devices`` lists all of them.
    """
    import torch

    best = resolve("auto")
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return {
        "device": best,
        "device_name": device_name(best),
        "memory_bytes": memory_total(best),
        "memory_budget": memory_budget(best),
        "torch": torch_version(),
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "devices": [
            {"device": name, "name": device_name(name), "memory_bytes": memory_total(name)}
            for name in names
        ],
    }


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was short (torch has several ways to say it)."""
    if isinstance(error, EngineError):
        return False
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        sign in text
        for sign in (
            "out of memory",
            "can't allocate memory",
            "cannot allocate memory",
            "not enough memory",
            "alloc_failed",
        )
    )


def release_memory() -> None:
    """Give back what can be had again: kept models, garbage, and torch's own reserve."""
    import gc
    import sys

    MODELS.clear()
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


class ModelCache:
    """Loaded models, on each device the least recently used ones dropped first. Thread-safe.

    Parameters
    ----------
    limit
        Bytes to keep at most on each device; by default half of its memory.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._items: OrderedDict[Hashable, tuple[Any, int, str]] = OrderedDict()
        self._loading: dict[Hashable, threading.Lock] = {}

    def get(
        self,
        key: Hashable,
        loader: Callable[[], T],
        size_of: Callable[[T], int],
        device: str = "cpu",
    ) -> T:
        """The model called ``key``, loaded by ``loader`` onto ``device`` if it is not here.

        Threads that ask for the same key at once wait for one load. What ``loader`` raises reaches
        the caller, and the next caller tries again. A model that is larger than the limit is
        returned but not kept.
        """
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            with self._lock:
                if key in self._items:
                    self._items.move_to_end(key)
                    item: T = self._items[key][0]
                    return item
            item = loader()
            size = size_of(item)
            limit = memory_total(device) // 2 if self._limit is None else self._limit
            with self._lock:
                if size <= limit:
                    self._items[key] = (item, size, device)
                there = [name for name, entry in self._items.items() if entry[2] == device]
                while sum(self._items[name][1] for name in there) > limit:
                    del self._items[there.pop(0)]
            return item

    @property
    def size(self) -> int:
        """Bytes kept."""
        with self._lock:
            return sum(entry[1] for entry in self._items.values())

    def keys(self) -> list[Hashable]:
        """What is kept, the next to be dropped first."""
        with self._lock:
            return list(self._items)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._items.clear()


MODELS = ModelCache()
"""The models of this process."""
