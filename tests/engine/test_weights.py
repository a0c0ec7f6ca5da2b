"""Models on disk: found, checked, added, converted; bad files are named and harm nothing."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import (
    model_copying,
    model_folders,
    model_inspection,
    model_recognition,
    weight_files,
    weights_conversion,
)
from engine.child import environment
from engine.errors import EngineError, ErrorCode
from engine.weights import (
    add_model,
    explain_mismatch,
    find_model,
    inspect_model,
    list_models,
    models_folder,
    read_safetensors,
    sha256_of,
    verify_model,
    write_checksums,
)
from engine.weights_conversion import convert_checkpoint

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402


def dit_state(width: int = 48, depth: int = 2) -> dict[str, Any]:
    """Tensors with the names of a DiT and toy shapes."""
    generator = torch.Generator().manual_seed(1)
    keys = sorted(model_recognition.official_dit_keys(depth))
    shapes = {
        "x_embedder.proj.weight": (width, 3, 2, 2),
        "pos_embed": (1, 16, width),
        "y_embedder.embedding_table.weight": (11, width),
    }
    return {key: torch.randn(shapes.get(key, (3, width)), generator=generator) for key in keys}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No models but those of the test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        model_folders.platformdirs, "user_data_path", lambda *_, **__: tmp_path / "data"
    )
    for module in (model_folders, model_inspection):
        monkeypatch.setattr(module, "BUILTIN_FOLDER", tmp_path / "builtin")
    monkeypatch.setattr(weight_files, "_remembered", weight_files._Checksums())
    return tmp_path


@pytest.fixture
def generator(home: Path) -> Path:
    """A folder in the layout of a generator."""
    return make_generator(home / "my generator")


def make_generator(folder: Path) -> Path:
    folder.mkdir(parents=True)
    about = {"format": "triptych-generator", "version": 1, "title": "Toy", "licence": "CC0-1.0"}
    (folder / "generator.json").write_text(json.dumps(about))
    for name in ("transformer", "autoencoder"):
        save_file({"weight": torch.arange(1000.0)}, folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def checkpoint(home: Path) -> Path:
    """A DiT checkpoint as safetensors."""
    path = home / "My DiT (final).safetensors"
    save_file(dit_state(), path)
    return path


def error_of(function, *arguments, **options) -> EngineError:
    with pytest.raises(EngineError) as caught:
        function(*arguments, **options)
    return caught.value


# --- safetensors ----------------------------------------------------------------------------------


def test_read_safetensors(home: Path) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
    save_file(tensors, home / "some.safetensors")
    read = read_safetensors(home / "some.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[key], tensors[key]) for key in tensors)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated_files_are_bad_files(home: Path, share: float) -> None:
    whole = home / "whole.safetensors"
    if not whole.exists():
        save_file({"a": torch.zeros(100), "b": torch.zeros(100)}, whole)
    data = whole.read_bytes()
    cut = home / "cut.safetensors"
    cut.write_bytes(data[: int(share * len(data))])
    error = error_of(read_safetensors, cut)
    assert error.code is ErrorCode.BAD_FILE
    assert "cut.safetensors" in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"PK\x03\x04 and so on", "pickle file with another name"),
        (b"\x80\x02}q\x00.", "pickle file with another name"),
        (b"x" * 100, "not a safetensors file"),
        ((10).to_bytes(8, "little") + b'{"a": 12', "not complete, or damaged"),
    ],
)
def test_files_that_are_something_else(home: Path, content: bytes, said: str) -> None:
    path = home / "weights.safetensors"
    path.write_bytes(content)
    error = error_of(read_safetensors, path)
    assert error.code is ErrorCode.BAD_FILE
    assert said in error.message


def test_files_that_are_not_there_or_not_files(home: Path) -> None:
    assert error_of(read_safetensors, home / "gone").code is ErrorCode.MISSING_WEIGHTS
    assert error_of(read_safetensors, home).code is ErrorCode.BAD_FILE


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission(home: Path) -> None:
    path = home / "secret.safetensors"
    path.write_bytes(b"")
    path.chmod(0)
    assert "Permission denied" in error_of(read_safetensors, path).message


# --- checksums ------------------------------------------------------------------------------------


def test_checksums_are_remembered_until_the_file_changes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "file"
    read = []
    digest_of = weight_files.digest_of
    monkeypatch.setattr(weight_files, "digest_of", lambda p: read.append(p) or digest_of(p))
    for content, stamp in ((b"one", 1000), (b"two", 2000), (b"two", 3000)):
        path.write_bytes(content)
        os.utime(path, (stamp, stamp))
        read.clear()
        for _ in range(3):
            assert sha256_of(path) == hashlib.sha256(content).hexdigest()
        assert len(read) == 1
    # Another process finds it too.
    monkeypatch.setattr(weight_files, "_remembered", weight_files._Checksums())
    assert sha256_of(path) == hashlib.sha256(b"two").hexdigest()
    assert len(read) == 1


def test_a_file_just_written_is_read_again(home: Path) -> None:
    path = home / "file"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        now = time.time()
        os.utime(path, (now, now))
        assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_a_damaged_memory_of_checksums_is_no_harm(home: Path) -> None:
    path = home / "file"
    path.write_bytes(b"one")
    os.utime(path, (1000, 1000))
    expected = sha256_of(path)
    for text in ("{", "[]", '{"a": 3}', json.dumps({str(path): [3]})):
        file = weight_files._Checksums._file()
        file.write_text(text)
        weight_files._remembered._known = None
        assert sha256_of(path) == expected


def test_checksum_of_a_missing_file(home: Path) -> None:
    assert error_of(sha256_of, home / "gone").code is ErrorCode.MISSING_WEIGHTS


# --- keys -----------------------------------------------------------------------------------------


def test_explain_mismatch() -> None:
    assert explain_mismatch("abc", "cba") == ""
    assert explain_mismatch("ab", "bc") == "missing: a; unexpected: c"
    assert explain_mismatch("abcdefgh", "") == "missing: a, b, c, d, e, f and 2 more"


def test_official_keys_are_those_of_the_golden_models(golden: Path) -> None:
    for name, depth in (("latent_d4_h72", 4), ("pixel_d2_h48_nosigma", 2)):
        found = read_safetensors(golden / "dit" / name / "model.safetensors")
        assert explain_mismatch(model_recognition.official_dit_keys(depth), found) == ""


# --- models ---------------------------------------------------------------------------------------


def test_a_generator_is_inspected(generator: Path) -> None:
    info = inspect_model(generator)
    assert (info.name, info.title, info.kind) == ("my generator", "Toy", "triptych-generator")
    assert info.path == generator
    assert info.licence == "CC0-1.0"
    assert info.size == sum(
        (generator / f).stat().st_size
        for f in ("generator.json", "transformer.safetensors", "autoencoder.safetensors")
    )
    assert json.loads(json.dumps(info.to_json()))["path"] == str(generator)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs the program sha256sum")
def test_a_generators_checksum_is_that_of_sha256sum(generator: Path) -> None:
    files = ["generator.json", "autoencoder.safetensors", "transformer.safetensors"]
    done = subprocess.run(["sha256sum", *files], cwd=generator, capture_output=True, check=True)
    assert inspect_model(generator).sha256 == hashlib.sha256(done.stdout).hexdigest()
    write_checksums(generator)
    subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=generator, check=True, capture_output=True)


def test_title_and_licence_come_from_the_model_card_otherwise(generator: Path) -> None:
    about = json.loads((generator / "generator.json").read_text())
    del about["title"], about["licence"]
    (generator / "generator.json").write_text(json.dumps(about))
    (generator / "MODEL_CARD.md").write_text("---\nlicense: apache-2.0\n---\n# Small pictures\n")
    info = inspect_model(generator)
    assert (info.title, info.licence) == ("Small pictures", "apache-2.0")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (None, ErrorCode.MISSING_WEIGHTS, "not there"),
        ("{", ErrorCode.BAD_FILE, "not JSON"),
        ("[]", ErrorCode.BAD_FILE, "not a JSON object"),
        ("{}", ErrorCode.BAD_FILE, "not a Triptych generator"),
        ('{"format": "triptych-generator", "version": 2}', ErrorCode.BAD_FILE, "newer Triptych"),
    ],
)
def test_a_folder_that_is_no_generator(
    generator: Path, text: str | None, code: ErrorCode, said: str
) -> None:
    (generator / "generator.json").unlink()
    if text is not None:
        (generator / "generator.json").write_text(text)
    error = error_of(inspect_model, generator)
    assert error.code is code
    assert said in error.message


@pytest.mark.parametrize(
    "damage",
    [{"transformer": {"patch_size": 0}}, {"transformer": {"hidden_size": []}}, {"autoencoder": [1]}],
)
def test_a_generator_with_nonsense_for_sizes(generator: Path, damage: dict[str, Any]) -> None:
    about = json.loads((generator / "generator.json").read_text())
    (generator / "generator.json").write_text(json.dumps({**about, **damage}))
    error = error_of(inspect_model, generator)
    assert error.code is ErrorCode.BAD_FILE
    assert "damaged" in error.message


def test_a_generator_without_its_weights(generator: Path) -> None:
    (generator / "transformer.safetensors").unlink()
    error = error_of(inspect_model, generator)
    assert error.code is ErrorCode.MISSING_WEIGHTS
    assert "transformer.safetensors" in error.message


def test_models_are_listed_and_found(home: Path, generator: Path, checkpoint: Path) -> None:
    assert list_models() == []
    make_generator(home / "builtin")
    assert [model.name for model in list_models()] == ["builtin"]
    added = add_model(generator, "toy")
    assert [model.name for model in list_models()] == ["builtin", "toy"]
    assert find_model("toy") == added
    assert added.path == models_folder() / "toy"
    assert added.sha256 == inspect_model(generator).sha256
    assert added.source == str(generator)
    shutil.rmtree(generator)
    assert verify_model("toy") == added


def test_a_missing_model_is_named(home: Path, generator: Path) -> None:
    error = error_of(find_model, "builtin")
    assert error.code is ErrorCode.MISSING_WEIGHTS
    add_model(generator, "kittens")
    error = error_of(find_model, "kitten")
    assert error.code is ErrorCode.INVALID_INPUT
    assert "Did you mean: kittens" in error.hint


def test_a_damaged_model_is_left_out_of_the_list(
    home: Path, generator: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_model(generator, "good")
    add_model(generator, "bad")
    (models_folder() / "bad" / "autoencoder.safetensors").unlink()
    assert [model.name for model in list_models()] == ["good"]
    assert "bad is left out" in caplog.text
    assert error_of(find_model, "bad").code is ErrorCode.MISSING_WEIGHTS


def test_verify_finds_changed_bytes(home: Path, generator: Path) -> None:
    add_model(generator, "toy")
    file = models_folder() / "toy" / "transformer.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    state = file.stat()
    file.write_bytes(data)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    error = error_of(verify_model, "toy")
    assert error.code is ErrorCode.BAD_FILE
    assert "transformer.safetensors" in error.message
    assert "autoencoder" not in error.message


def test_verify_finds_truncated_files_without_checksums(home: Path, generator: Path) -> None:
    add_model(generator, "toy")
    folder = models_folder() / "toy"
    (folder / "SHA256SUMS").unlink()
    verify_model("toy")
    data = (folder / "transformer.safetensors").read_bytes()
    (folder / "transformer.safetensors").write_bytes(data[:-1])
    assert "not complete" in error_of(verify_model, "toy").message


def test_a_checkpoint_is_added(checkpoint: Path) -> None:
    added = add_model(checkpoint, num_heads=4)
    assert (added.name, added.kind, added.num_heads) == ("My-DiT-final-", "dit", 4)
    assert added.path == models_folder() / "My-DiT-final-" / "model.safetensors"
    assert added.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert inspect_model(added.path.parent) == added
    verify_model(added.name)


def test_wrapped_keys_are_recognised(home: Path) -> None:
    path = home / "wrapped.safetensors"
    save_file({f"module._orig_mod.{key}": value for key, value in dit_state().items()}, path)
    assert inspect_model(path).kind == "dit"


def test_another_architecture_is_named_by_its_keys(home: Path, checkpoint: Path) -> None:
    state = dit_state()
    state["blocks.1.attn.gate.weight"] = torch.zeros(1)
    del state["pos_embed"]
    path = home / "other.safetensors"
    save_file(state, path)
    for function in (inspect_model, add_model):
        error = error_of(function, path)
        assert error.code is ErrorCode.BAD_FILE
        assert "missing: pos_embed" in error.message
        assert "unexpected: blocks.1.attn.gate.weight" in error.message
    assert list(models_folder().iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", ".hidden", "a b", "", "x" * 65, "a/b"])
def test_names_are_checked(checkpoint: Path, name: str) -> None:
    if name:
        assert error_of(add_model, checkpoint, name).code is ErrorCode.INVALID_INPUT
    else:
        assert add_model(checkpoint, name, num_heads=4).name == "My-DiT-final-"


def test_a_name_is_taken_once(home: Path, checkpoint: Path) -> None:
    add_model(checkpoint, "mine", num_heads=4)
    for name in ("mine", "builtin"):
        error = error_of(add_model, checkpoint, name)
        assert "already" in error.message


def test_nothing_is_added_to_a_disk_that_refuses(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_copying, "copy_file", full)
    error = error_of(add_model, checkpoint, "mine", num_heads=4)
    assert error.code is ErrorCode.INVALID_INPUT
    assert "No space left" in error.message
    assert list(models_folder().iterdir()) == []


def test_a_missing_file_cannot_be_added(home: Path) -> None:
    for name in ("gone.safetensors", "gone.pt"):
        error = error_of(add_model, home / name)
        assert error.code in (ErrorCode.MISSING_WEIGHTS, ErrorCode.INVALID_INPUT)
    assert list(models_folder().iterdir()) == []


# --- conversion -----------------------------------------------------------------------------------


def test_a_training_checkpoint_is_converted(home: Path) -> None:
    state = dit_state()
    training = {
        "model": {key: value + 1 for key, value in state.items()},
        "ema": {f"module.{key}": value for key, value in state.items()},
        "opt": {"state": {}, "param_groups": [{"lr": 1e-4}]},
        "args": argparse.Namespace(model="DiT-S/2", epochs=3),
    }
    torch.save(training, home / "0050000.pt")
    added = add_model(home / "0050000.pt", "trained", num_heads=4)
    assert added.kind == "dit"
    read = read_safetensors(added.path)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[key], state[key]) for key in state)


@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_new_and_old_files_of_pytorch_are_converted(home: Path, suffix: str) -> None:
    state = dit_state()
    # Tied weights share memory, which safetensors does not have; views are not contiguous.
    state["blocks.0.attn.qkv.bias"] = state["blocks.1.attn.qkv.bias"]
    state["pos_embed"] = torch.arange(12.0).reshape(3, 4).T
    source, target = home / f"model{suffix}", home / "out.safetensors"
    torch.save(state, source, _use_new_zipfile_serialization=suffix != ".bin")
    convert_checkpoint(source, target)
    read = read_safetensors(target)
    assert all(torch.equal(read[key], state[key]) for key in state)


class Malicious:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch '{self.witness}'",)


@pytest.mark.parametrize("form", ["pickle", "torch", "torch with weights"])
def test_a_file_that_wants_to_run_code_is_refused(home: Path, form: str) -> None:
    witness, source = home / "witness", home / "model.pt"
    if form == "pickle":
        source.write_bytes(pickle.dumps(Malicious(witness), protocol=2))
    elif form == "torch":
        torch.save({"ema": Malicious(witness)}, source)
    else:
        torch.save({**dit_state(), "extra": Malicious(witness)}, source)
    error = error_of(add_model, source)
    assert error.code is ErrorCode.BAD_FILE
    assert "wants to run code" in error.message
    assert "posix.system" in error.message
    assert not witness.exists()
    assert list(models_folder().iterdir()) == []
    pickle.loads(pickle.dumps(Malicious(witness)))  # the same would have worked elsewhere
    assert witness.exists()


def test_a_pickle_that_is_no_checkpoint_is_not_run_either(home: Path) -> None:
    witness, source = home / "witness", home / "model.pt"
    source.write_bytes(pickle.dumps(Malicious(witness), protocol=4))
    assert error_of(add_model, source).code is ErrorCode.BAD_FILE
    assert not witness.exists()


def test_a_copy_that_cannot_be_written_is_named(home: Path) -> None:
    torch.save(dit_state(), home / "model.pt")
    error = error_of(convert_checkpoint, home / "model.pt", home / "no folder" / "out.safetensors")
    assert error.code is ErrorCode.INVALID_INPUT
    assert "cannot be written" in error.message


def damaged_files() -> dict[str, bytes]:
    whole = io.BytesIO()
    torch.save(dit_state(), whole)
    content = whole.getvalue()
    return {
        "empty": b"",
        "text": b"not a checkpoint",
        "zip": b"PK\x03\x04" + bytes(100),
        "truncated": content[:-200],
        "start": content[:200],
        "pickle": pickle.dumps({"a": 1}, protocol=2)[:-2],
    }


def test_damaged_checkpoints_are_named(home: Path) -> None:
    for name, content in damaged_files().items():
        source = home / f"{name}.pt"
        source.write_bytes(content)
        error = error_of(weights_conversion._read, source)
        assert error.code is ErrorCode.BAD_FILE
        assert f"{name}.pt is damaged or not a PyTorch checkpoint" in error.message


def test_a_damaged_checkpoint_leaves_nothing(home: Path) -> None:
    source, target = home / "model.pt", home / "out.safetensors"
    source.write_bytes(damaged_files()["truncated"])
    assert error_of(convert_checkpoint, source, target).code is ErrorCode.BAD_FILE
    assert not target.exists()


def test_a_checkpoint_without_tensors(home: Path) -> None:
    source = home / "model.pt"
    torch.save({"epoch": 3, "model": {"name": "none"}}, source)
    error = error_of(convert_checkpoint, source, home / "out.safetensors")
    assert "no named tensors" in error.message


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_a_small_file_cannot_take_all_memory(home: Path) -> None:
    source, target = home / "bomb.pt", home / "out.safetensors"
    torch.save({"weight": torch.zeros(1).expand(40_000, 40_000)}, source)  # 6.4 GB, in 1 KB
    error = error_of(convert_checkpoint, source, target)
    assert error.code is ErrorCode.INVALID_INPUT
    assert "more memory" in error.message
    assert not target.exists()


def test_conversion_has_a_time_limit(home: Path) -> None:
    source, target = home / "model.pt", home / "out.safetensors"
    torch.save(dit_state(), source)
    error = error_of(convert_checkpoint, source, target, timeout=0.05)
    assert "longer than" in error.message
    assert not target.exists()


def test_a_conversion_that_dies_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "engine.weights_conversion.child.command",
        lambda *_: [sys.executable, "-c", "import os; os.write(2, b'help'); os.abort()"],
    )
    error = error_of(convert_checkpoint, home / "model.pt", home / "out.safetensors")
    assert error.code is ErrorCode.BAD_FILE
    assert "help" in error.detail


def test_reading_models_needs_no_torch(home: Path, generator: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from engine import weights;"
        f"weights.inspect_model(Path({str(generator)!r})); weights.list_models();"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment())
