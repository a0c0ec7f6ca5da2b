"""Generating with less arithmetic: what is counted, kept and said; other samplers; bad input."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load
from safetensors.torch import save_file

from engine import cli
from engine.artifacts import ArtifactStore
from engine.errors import EngineError, ErrorCode
from engine.images.dynamic_costs import static_macs
from engine.images.generators import Computing, LatentGenerator, initial_noise
from engine.images.samplers import SAMPLERS
from engine.job import ArtifactRef, Failed, Finished, JobSpec, Output
from engine.runner import run_job
from engine.weights import add_model, find_model, inspect_model

pytestmark = pytest.mark.usefixtures("tiny_dynamic_model", "single_thread")
GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden" / "dydit" / "latent_d3_h48"


class Run:
    """A finished job of the model ``tiny-dynamic`` unless another is named."""

    def __init__(
        self, folder: Path, seed: int = 3, kind: str = "images.generate", **params: Any
    ) -> None:
        self.store = ArtifactStore(folder)
        self.events: list[Any] = []
        if kind == "images.generate":
            params = {"model": "tiny-dynamic", "steps": 4, "prompt": "red heart", **params}
        spec = JobSpec(kind, params, seed=seed, device="cpu")
        run_job(spec, "job", self.store, self.events.append, lambda: False)

    @property
    def outputs(self) -> list[Output]:
        assert isinstance(self.events[-1], Finished), self.events[-1]
        return [event for event in self.events if isinstance(event, Output)]

    @property
    def error(self) -> str:
        (failed,) = [event for event in self.events if isinstance(event, Failed)]
        assert failed.error.code is not ErrorCode.INTERNAL, failed.error.detail
        return f"{failed.error.message} {failed.error.hint}"

    def pixels(self, index: int = 0) -> np.ndarray:
        data = self.store.read(self.outputs[index].artifact)
        return np.asarray(Image.open(io.BytesIO(data)))

    def compute(self, index: int = 0) -> dict[str, Any]:
        return dict(self.outputs[index].manifest["compute"])

    def routes(self, index: int = 0) -> Path:
        return self.store.path(ArtifactRef.from_json(self.compute(index)["routes"]))


# --- what is counted ------------------------------------------------------------------------------


def test_arithmetic_is_counted_and_routes_are_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, count=2, compute=0.5)
    both = [run.compute(0), run.compute(1)]
    config = LatentGenerator(find_model("tiny-dynamic"), "cpu").model.config
    for figures in both:
        assert figures["share"] == 0.5
        # 4 steps, with and without the condition.
        assert figures["static_macs"] == 8 * static_macs(config)
        assert 0 < figures["block_ratio"] < 1
        assert figures["ratio"] == pytest.approx(figures["macs"] / figures["static_macs"], abs=1e-4)
    metrics = run.events[-1].metrics["compute"]
    assert metrics["macs"] == both[0]["macs"] + both[1]["macs"]
    tensors = load(run.routes().read_bytes())
    with safe_open(run.routes(), "numpy") as file:
        about = file.metadata()
    assert about == {"num_heads": "4", "groups": "8", "side": "2"}
    assert (np.diff(tensors["timesteps"]) < 0).all()
    assert tensors["heads"].shape == tensors["groups"].shape == (4, 2)
    tokens = np.unpackbits(tensors["tokens"], axis=2)[..., :4]
    # The shares follow from widths and tokens: attention and MLP as the formula weighs them.
    attention = 4 * 4 * 32**2 + 2 * 4**2 * 32
    mlp = 2 * 4 * 32 * 128
    parts = tensors["heads"] / 4 * attention + tensors["groups"] / 8 * tokens.mean(2) * mlp
    np.testing.assert_allclose(tensors["shares"], parts.mean(1) / (attention + mlp), rtol=1e-6)


def test_everything_is_the_static_network_to_the_bit(tmp_path: Path) -> None:
    unasked, asked = Run(tmp_path / "a"), Run(tmp_path / "b", compute=1.0)
    np.testing.assert_array_equal(unasked.pixels(), asked.pixels())
    assert unasked.compute()["ratio"] == 1
    assert unasked.compute()["routes"] is None
    assert (Run(tmp_path / "c", compute=0.5).pixels() != unasked.pixels()).any()


def test_extra_economy_computes_less(tmp_path: Path) -> None:
    shares = [
        Run(tmp_path, compute=0.9, economy=economy).compute()["block_ratio"] for economy in (0, 1, 10)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[2]


def test_the_shipped_network_computes_what_is_asked(tmp_path: Path) -> None:
    for share in (0.4, 0.5, 0.7):
        run = Run(tmp_path / str(share), model="builtin", prompt="pizza", steps=10, compute=share)
        assert run.compute()["block_ratio"] == pytest.approx(share, abs=0.05)
        # More detail, more arithmetic: the clean end of the run computes more than the noisy one.
        shares = load(run.routes().read_bytes())["shares"]
        assert shares[-3:].mean() > shares[:3].mean()


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS.names())
def test_a_picture_hardly_depends_on_its_neighbours(tmp_path: Path, sampler: str) -> None:
    settings = {"sampler": {"name": sampler}, "compute": 0.6, "seed": 10}
    together = Run(tmp_path / "a", count=3, batch=3, **settings)
    again = Run(tmp_path / "b", count=3, batch=3, **settings)
    np.testing.assert_array_equal(together.pixels(1), again.pixels(1))
    alone = Run(tmp_path / "c", **{**settings, "seed": 11})
    # E10: 1e-3 of the range -1 to 1 is less than one of 256 levels.
    apart = together.pixels(1).astype(int) - alone.pixels().astype(int)
    assert np.abs(apart).max() <= 1
    assert (together.pixels(1) != together.pixels(2)).any()


def test_parallel_sampling_finds_the_sequential_picture_in_as_many_rounds(tmp_path: Path) -> None:
    common: dict[str, Any] = {"model": "builtin", "prompt": "red heart", "steps": 16}
    parallel = {"name": "parataa", "compare_sequential": True}
    dynamic = Run(tmp_path / "a", sampler=parallel, compute=0.5, **common)
    static = Run(tmp_path / "b", sampler=parallel, **common)
    rounds = [run.events[-1].metrics["rounds"] for run in (dynamic, static)]
    assert abs(rounds[0] - rounds[1]) <= 2, rounds
    comparison = dynamic.events[-1].metrics["pictures"][0]["comparison"]
    assert comparison["rms"] < 5e-3
    assert dynamic.compute()["block_ratio"] == pytest.approx(0.5, abs=0.06)
    assert len(load(dynamic.routes().read_bytes())["timesteps"]) == 16


def test_alignment_starts_at_the_clicked_picture(tmp_path: Path) -> None:
    picture = {"model": "tiny-dynamic", "steps": 4, "prompt": "red heart", "compute": 0.5}
    clicked = Run(tmp_path / "a", **picture)
    run = Run(
        tmp_path / "b", kind="images.align", picture=picture, steps=3, check_density=False,
        rewards=[{"name": "brightness", "options": {"ceiling": False}}],
    )  # fmt: skip
    about = run.outputs[0].manifest["align"]
    assert about["total"]["after"] > about["total"]["before"]
    # Without a step, what comes out is the picture itself.
    unmoved = Run(
        tmp_path / "c", kind="images.align", picture=picture, steps=1, lr=1e-9, check_density=False,
        rewards=[{"name": "darkness", "options": {"ceiling": False}}],
    )  # fmt: skip
    np.testing.assert_array_equal(unmoved.pixels(), clicked.pixels())


def test_the_gradient_follows_the_route(tmp_path: Path) -> None:
    generator = LatentGenerator(find_model("tiny-dynamic"), "cpu")
    predict = generator.denoiser(generator.condition("red heart", None), 2.5, Computing(0.5))
    noise, _ = initial_noise([3], generator.latent_shape(None, None), 4, with_steps=False)
    x, t = noise.double().requires_grad_(), torch.tensor([500.0], dtype=torch.float64)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    (gradient,) = torch.autograd.grad((predict.with_gradient(x, t) * direction).sum(), x)
    step = 1e-3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        moved = [(predict(x + sign * step, t) * direction).sum() for sign in (1, -1)]
    assert float((gradient * step).sum()) == pytest.approx(float(moved[0] - moved[1]) / 2, rel=0.02)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"compute": 0.2}, "40% to 90%"),
        ({"compute": 0.95}, "outside of what it was trained for"),
        ({"compute": 2.0}, "less than or equal to 1"),
        ({"economy": 1.0}, "no gates to close"),
        ({"model": "tiny", "compute": 0.5}, "not a dynamic model"),
        ({"model": "tiny", "economy": 0.5}, "not a dynamic model"),
    ],
)
@pytest.mark.usefixtures("tiny_model")
def test_what_a_model_cannot_compute_is_said(tmp_path: Path, params: dict[str, Any], said: str) -> None:
    run = Run(tmp_path, **params)
    assert said in run.error
    assert not [event for event in run.events if isinstance(event, Output)]


def test_the_command_tells_what_was_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "--model",
        "tiny-dynamic",
        "--prompt",
        "heart",
        "--steps",
        "3",
        "--compute",
        "0.5",
        "--json",
    ]
    assert cli.main(["generate", *flags, "--out", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["compute"]) == {"macs", "static_macs", "ratio", "block_ratio"}
    assert found["seconds"] > 0
    # Routes are for looking at in the window, not for a folder of pictures.
    assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".png"]


# --- files of the released program ----------------------------------------------------------------


@pytest.mark.skipif(not GOLDEN.exists(), reason="no golden data")
def test_a_released_checkpoint_is_added_and_generates(tmp_path: Path) -> None:
    source = tmp_path / "some.safetensors"
    source.write_bytes((GOLDEN / "model.safetensors").read_bytes())
    info = add_model(source, "dydit-golden")
    assert (info.dynamic, info.compute) == ("fixed", None)
    assert info.architecture.endswith("dynamic")
    made = Run(tmp_path / "a", model=info.name, prompt="", class_name="3")
    assert made.compute()["block_ratio"] < 1
    whole = Run(tmp_path / "b", model=info.name, prompt="", class_name="3", compute=1.0)
    assert whole.compute()["block_ratio"] == 1
    assert (whole.pixels() != made.pixels()).any()
    less = Run(tmp_path / "c", model=info.name, prompt="", class_name="3", economy=2.0)
    assert less.compute()["block_ratio"] < made.compute()["block_ratio"]
    assert "cannot be told another" in Run(tmp_path / "d", model=info.name, compute=0.5).error


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"blocks.1.attn_rate.router.bias": torch.zeros(5)}, "different sizes"),
        ({"blocks.0.token_selection.mlp_head.2.bias": None}, "missing: blocks.0.token_selection"),
        ({f"blocks.{i}.mlp_rate.router.bias": torch.zeros(6) for i in range(3)}, "cannot be cut"),
    ],
)
@pytest.mark.skipif(not GOLDEN.exists(), reason="no golden data")
def test_a_damaged_dynamic_checkpoint_says_what_is_wrong(
    tmp_path: Path, edit: dict[str, torch.Tensor | None], said: str
) -> None:
    from safetensors.torch import load_file

    state = {**load_file(GOLDEN / "model.safetensors"), **edit}
    path = tmp_path / "bad.safetensors"
    save_file({key: value for key, value in state.items() if value is not None}, path)
    with pytest.raises(EngineError) as caught:
        inspect_model(path)
    assert caught.value.code is ErrorCode.BAD_FILE
    assert said in f"{caught.value.message} {caught.value.detail}"
