"""Terms as they are typed, aliases, settings, and the shipped table of scales."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from engine.errors import EngineError
from engine.images.rewards import REWARDS, RewardTerm, Scale, Scales, parse_term
from engine.images.rewards.measuring import (
    builtin_pictures,
    measure,
    overview_terms,
    scales_for,
    tabled_terms,
)
from engine.images.rewards.mix import RewardMix
from engine.images.rewards.protocol import RewardContext
from engine.images.rewards.scales import builtin_scales, read_scales
from engine.weights import find_model


@pytest.mark.parametrize(
    ("text", "name", "weight", "options"),
    [
        ("brightness", "brightness", 1, {}),
        ("brightness=-0.5", "brightness", -0.5, {}),
        ("darkness=2", "brightness", -2, {}),
        ("coolness", "warmth", -1, {}),
        ("compressibility=2", "jpeg_size", -2, {}),
        ("few_colours", "colour_count", -1, {}),
        ("hue:angle=120", "hue", 1, {"angle": "120"}),
        ("hue:angle=120=0.25", "hue", 0.25, {"angle": "120"}),
        ("hue:subject_only=true,angle=90", "hue", 1, {"subject_only": "true", "angle": "90"}),
        ("hue:subject_only=true,angle=90=3", "hue", 3, {"subject_only": "true", "angle": "90"}),
        ("palette:colours=#ff0000,#00ff00=2", "palette", 2, {"colours": ["#ff0000", "#00ff00"]}),
        ("palette:colours=#ff0000", "palette", 1, {"colours": ["#ff0000"]}),
    ],
)
def test_terms_as_typed(text: str, name: str, weight: float, options: dict[str, object]) -> None:
    term = parse_term(text)
    assert (term.name, term.weight, term.options) == (name, weight, options)
    assert RewardTerm.model_validate_json(term.model_dump_json()) == term


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("brightnes=1", "Did you mean.*brightness"),
        ("brightness=much", "weight 'much'"),
        ("brightness=nan", "weight 'nan'"),
        ("brightness=1000", "less than or equal to 100"),
        ("hue:colour=3=1", "'colour' is not a setting of the reward 'hue'"),
        ("hue:angle=400=1", "angle: .*less than or equal to 360"),
        ("palette:colours=red=1", "colours.0: .*pattern"),
    ],
)
def test_wrong_terms_say_what_is_wrong(text: str, told: str) -> None:
    with pytest.raises(EngineError, match=f"(?s){told}") as caught:
        parse_term(text)
    assert caught.value.code == "invalid_input"


def test_a_job_with_a_wrong_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="It has the settings ceiling, subject_only, angle"):
        RewardTerm(name="hue", options={"angle": 1, "hue": 2})
    with pytest.raises(ValidationError, match="no reward called"):
        RewardTerm(name="nothing")


def test_titles_follow_the_direction() -> None:
    assert RewardTerm(name="brightness").title == "Brighter"
    assert RewardTerm(name="brightness", weight=-1).title == "Darker"


def test_every_reward_says_what_it_measures() -> None:
    for name, kind in REWARDS:
        assert kind.title, name
        assert kind.less, name
        assert kind.description.endswith("."), name
        assert name.replace("_", "").islower(), name


def test_scales_of_percentiles() -> None:
    scale = Scale.of([float(i) for i in range(101)])
    assert (scale.p5, scale.median, scale.p95) == (5, 50, 95)
    assert scale.position(5) == 0
    assert scale.position(140) == 150
    flat = Scale.of([0.0] * 10, least_spread=0.1)
    assert (flat.p5, flat.p95, flat.spread) == (-0.1, 0, 0.1)
    assert Scale.of([3.0] * 10).spread > 0


def test_hues_between_measured_ones_are_interpolated() -> None:
    table = {"hue/0": Scale(0, 1, 2), "hue/30": Scale(3, 4, 8), "hue/330": Scale(-2, 0, 1)}
    scales = Scales(table)
    assert scales.find(RewardTerm(name="hue", options={"angle": 10})) == Scale(1, 2, 4)
    assert scales.find(RewardTerm(name="hue", options={"angle": 345})) == Scale(-1, 0.5, 1.5)
    assert scales.find(RewardTerm(name="hue", options={"angle": 360})) == Scale(0, 1, 2)
    assert scales.find(RewardTerm(name="hue", options={"angle": 40})) is None


def test_the_shipped_table_is_complete_and_fits_the_shipped_samples() -> None:
    shipped = builtin_scales()
    terms = list(tabled_terms())
    assert all(shipped.find(term) is not None for term in terms)
    for term, scale in measure(terms, RewardContext(), builtin_pictures()).items():
        known = shipped.table[term]
        # The table is of held-out pictures too: alike, not equal.
        assert abs(scale.median - known.median) < 0.5 * known.spread, term


def test_a_table_goes_through_json_and_damage_is_said(tmp_path: Path) -> None:
    file = tmp_path / "scales.json"
    file.write_text(json.dumps(builtin_scales().to_json()))
    assert read_scales(file) == builtin_scales()
    file.write_text("{}")
    with pytest.raises(EngineError, match="table of reward scales"):
        read_scales(file)


def test_another_generator_gets_its_own_table_once(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another test may have had this model's table measured already.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    info, asked = find_model("tiny"), []

    def sample(count: int) -> torch.Tensor:
        asked.append(count)
        return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    terms = [RewardTerm(name="brightness"), RewardTerm(name="palette")]
    first = scales_for(terms, RewardContext(), info, sample)
    again = scales_for(terms, RewardContext(), info, sample)
    assert asked == [64]
    assert "Tiny" in again.measured_on
    assert first.find(terms[1]) == again.find(terms[1])
    assert first.require(terms[0]).median == pytest.approx(0.5, abs=0.02)  # type: ignore[union-attr]


def test_the_embedded_generator_needs_no_sampling() -> None:
    def sample(count: int) -> torch.Tensor:
        raise AssertionError("not asked for")

    terms = [RewardTerm(name="brightness"), RewardTerm(name="palette")]
    scales = scales_for(terms, RewardContext(), find_model("builtin"), sample)
    assert scales.find(terms[0]) == builtin_scales().table["brightness"]
    assert scales.find(terms[1]) is not None


def test_an_overview_rates_by_every_formula_and_wants_nothing() -> None:
    pictures = builtin_pictures()[:2]
    with RewardMix(overview_terms(), RewardContext(), builtin_scales()) as mix:
        total, raw = mix.total(pictures, clipped=True)
        assert total.tolist() == [0, 0]
        assert {"brightness", "hue", "jpeg_size", "edges", "symmetry"} <= set(raw)
        shown = mix.positions({name: values[0].item() for name, values in raw.items()})
    assert set(shown) == set(raw)
    assert all(-100 < position < 200 for position in shown.values())
