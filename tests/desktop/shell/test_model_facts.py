"""What is said of models: sizes, memory, reasons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from desktop.shell.model_facts import (
    InstalledModel,
    Memory,
    State,
    alignment_text,
    compute_text,
    count_text,
    looks_like_model,
    memory_sentence,
    origin_sentence,
    origin_text,
    samplers_text,
    size_text,
    state_of,
)
from engine.errors import bad_file
from engine.model_info import ModelInfo

GB = 10**9
INFO = ModelInfo(
    "xl", "XL", "dit", Path("/m/xl"), "", 2_700_000_000, source="/d/xl.pt", memory_bytes=5 * GB,
    samplers=("sequential", "parallel"), alignment=True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_600, "1.00 MB"),
        (33_200_000, "33.2 MB"),
        (2_612_345_678, "2.61 GB"),
        (41_500_000_000, "41.5 GB"),
        (999_600_000_000, "1.00 TB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(33_921, "33,921"), (675_129_632, "675 million"), (999_600_000, "1 billion"),
     (2_567_000_000, "2.57 billion")],
)  # fmt: skip
def test_parameters(count: int, text: str) -> None:
    assert count_text(count) == text


def test_memory_is_said_beside_what_there_is() -> None:
    sentence, role = memory_sentence(5_100_000_000, Memory("this machine", 32 * GB, 24 * GB))
    assert sentence == "Needs about 5.10 GB for one picture; this machine has 24.0 GB free."
    assert role == ""
    assert memory_sentence(5 * GB, None) == ("Needs about 5.00 GB for one picture.", "")
    sentence, role = memory_sentence(5 * GB, Memory("this machine", 8 * GB, 2 * GB))
    assert "leave 2.00 GB free" in sentence
    assert role == "warn"
    sentence, role = memory_sentence(5 * GB, Memory("A card", 4 * GB))
    assert "has only 4.00 GB" in sentence
    assert role == "bad"
    assert memory_sentence(5 * GB, Memory("A card", 8 * GB))[1] == ""


def test_states_name_the_most_urgent_thing() -> None:
    small, large = Memory("m", 4 * GB), Memory("m", 32 * GB)
    model = InstalledModel("xl", INFO)
    assert state_of(model) is State.READY
    assert state_of(model, large) is State.READY
    assert state_of(replace(model, verified=True), large) is State.VERIFIED
    assert state_of(model, small) is State.TOO_LARGE
    assert state_of(model, small, checking=True) is State.CHECKING
    needing = InstalledModel("xl", replace(INFO, needs=("diffusers",)))
    assert state_of(needing, small) is State.NEEDS
    assert not needing.usable
    assert state_of(replace(needing, error=bad_file("x")), small) is State.DAMAGED
    assert state_of(InstalledModel("xl", error=bad_file("x"))) is State.UNUSABLE


def test_samplers_and_alignment_say_why_not() -> None:
    assert samplers_text(INFO) == "Step by step or in parallel (ParaTAA)."
    assert "because" in samplers_text(replace(INFO, samplers=("sequential",)))
    vae = replace(INFO, kind="vae", generates=False, samplers=(), alignment=False)
    assert samplers_text(vae).startswith("None: it decodes")
    assert alignment_text(INFO).startswith("Yes")
    assert alignment_text(vae).startswith("No: it makes no pictures")
    assert "no autoencoder" in alignment_text(replace(INFO, alignment=False))
    needing = replace(INFO, alignment=False, needs=("diffusers",))
    assert alignment_text(needing) == "Not before diffusers is installed."


def test_origins() -> None:
    own = InstalledModel("xl", INFO)
    assert origin_text(own) == "Copy of xl.pt"
    assert origin_sentence(own) == "/d/xl.pt"
    placed = InstalledModel("xl", replace(INFO, in_place=True))
    assert origin_text(placed) == "xl.pt, where it is"
    assert "leaves its files alone" in origin_sentence(placed)
    assert origin_text(InstalledModel("builtin", INFO)) == "Comes with Triptych"
    assert origin_text(InstalledModel("x")) == "Added by you"


@pytest.mark.parametrize("name", ["a.safetensors", "a.PT", "a.pth", "a.ckpt", "a.bin"])
def test_files_that_may_be_models(tmp_path: Path, name: str) -> None:
    assert looks_like_model(tmp_path / name)


def test_folders_that_may_be_models(tmp_path: Path) -> None:
    assert not looks_like_model(tmp_path)
    assert not looks_like_model(tmp_path / "picture.png")
    for sign in ("model_index.json", "config.json", "generator.json"):
        folder = tmp_path / sign.partition(".")[0]
        folder.mkdir()
        (folder / sign).write_text("{}")
        assert looks_like_model(folder)


def test_what_a_model_can_leave_out() -> None:
    told = replace(INFO, dynamic="told", compute=(0.3502, 0.9801))
    assert compute_text(told) == "Dynamic: 35 % to 98 % of its arithmetic, or all of it."
    assert "as it was trained" in compute_text(replace(INFO, dynamic="fixed"))
    assert compute_text(INFO).startswith("Always")
    assert compute_text(replace(INFO, generates=False)) == ""
