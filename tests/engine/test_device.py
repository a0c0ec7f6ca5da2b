"""Choice of device, memory, and the cache of models."""

from __future__ import annotations

import subprocess
import sys
import threading

import psutil
import pytest

from engine import device
from engine.device import ModelCache, is_out_of_memory
from engine.errors import EngineError, ErrorCode

torch = pytest.importorskip("torch")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be a machine with some GPUs."""

    def pretend(cuda: int = 0, mps: bool = False, built_with: str | None = "12.8") -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.version, "cuda", built_with)

    return pretend


@pytest.mark.parametrize(
    ("asked", "cuda", "mps", "got"),
    [
        ("auto", 0, False, "cpu"),
        ("auto", 0, True, "mps"),
        ("auto", 2, True, "cuda:0"),
        ("cpu", 2, True, "cpu"),
        ("cuda", 1, False, "cuda:0"),
        ("cuda:1", 2, False, "cuda:1"),
        ("mps", 0, True, "mps"),
    ],
)
def test_resolve(machine, asked: str, cuda: int, mps: bool, got: str) -> None:
    machine(cuda, mps)
    assert device.resolve(asked) == got


@pytest.mark.parametrize(
    ("asked", "cuda", "built_with", "said"),
    [
        ("cuda", 0, "12.8", "no NVIDIA GPU"),
        ("cuda", 0, None, "built without CUDA"),
        ("cuda:2", 2, "12.8", "has 2 CUDA device(s)"),
        ("mps", 0, None, "Apple"),
        ("", 0, None, "is not a device"),
        ("cuda:", 1, None, "is not a device"),
        ("cuda:-1", 1, None, "is not a device"),
        ("cpu:0", 1, None, "is not a device"),
        ("CUDA", 1, None, "is not a device"),
    ],
)
def test_a_device_that_is_not_there(
    machine, asked: str, cuda: int, built_with: str | None, said: str
) -> None:
    machine(cuda, False, built_with)
    with pytest.raises(EngineError) as caught:
        device.resolve(asked)
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert said in caught.value.message
    assert caught.value.hint


def test_naming_the_cpu_needs_no_torch() -> None:
    program = (
        "import sys; from engine import device; device.resolve('cpu'); device.device_name('cpu');"
        "device.memory_budget('cpu'); device.torch_version(); device.release_memory();"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_description() -> None:
    about = device.describe()
    assert about["device"] == device.resolve("auto")
    assert about["torch"] == torch.__version__
    assert about["device_name"]
    assert about["memory_bytes"] >= about["memory_budget"] > 0
    assert about["devices"][0]["device"] == "cpu"
    assert about["devices"][0]["memory_bytes"] == psutil.virtual_memory().total


def test_memory_budget_leaves_some_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    free = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    assert device.memory_budget("cpu") == 800


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("shape '[2]' is invalid for input of size 3"), False),
        (ValueError("out of memory"), False),
        (EngineError(ErrorCode.OUT_OF_MEMORY, "out of memory"), False),
    ],
)
def test_is_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_a_real_allocation_failure_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**52, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


# --- model cache ----------------------------------------------------------------------------------


def test_cache_loads_once() -> None:
    cache = ModelCache(100)
    loaded = []
    for _ in range(3):
        assert cache.get("a", lambda: loaded.append(1) or "model", len) == "model"
    assert loaded == [1]
    assert cache.size == 5


def test_cache_drops_the_least_recently_used() -> None:
    cache = ModelCache(10)
    for key in "abc":
        cache.get(key, lambda: "1234", len)
        cache.get("a", lambda: pytest.fail("a was used all the time"), len)
    assert cache.keys() == ["c", "a"]
    assert cache.size == 8


def test_cache_does_not_keep_what_is_too_large() -> None:
    cache = ModelCache(3)
    cache.get("small", lambda: "1", len)
    assert cache.get("large", lambda: "1234", len) == "1234"
    assert cache.keys() == ["small"]


def test_each_device_keeps_its_own_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.device.memory_total", lambda device: 20 if device == "cpu" else 8)
    cache = ModelCache()
    for key, place in (("a", "cpu"), ("b", "cuda:0"), ("c", "cpu"), ("d", "cuda:0")):
        cache.get(key, lambda: "1234", len, place)
    assert cache.keys() == ["a", "c", "d"]
    cache.get("large", lambda: "12345", len, "cuda:0")
    assert cache.keys() == ["a", "c", "d"], "more than half of that device"


def test_cache_passes_errors_on_and_tries_again() -> None:
    cache = ModelCache(10)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 // 0, lambda _: 1)
    assert cache.get("a", lambda: 7, lambda _: 1) == 7


def test_clear() -> None:
    cache = ModelCache(10)
    cache.get("a", lambda: "1", len)
    cache.clear()
    assert (cache.size, cache.keys()) == (0, [])


def test_threads_share_one_load_and_do_not_wait_for_other_models() -> None:
    cache = ModelCache(100)
    loading, may_finish = threading.Event(), threading.Event()
    loaded: list[str] = []
    got: list[str] = []

    def load() -> str:
        loaded.append("slow")
        loading.set()
        assert may_finish.wait(60)
        return "slow"

    threads = [
        threading.Thread(target=lambda: got.append(cache.get("slow", load, len))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    assert loading.wait(60)
    assert cache.get("other", lambda: "other", len) == "other"
    may_finish.set()
    for thread in threads:
        thread.join(60)
    assert loaded == ["slow"]
    assert got == ["slow"] * 4
