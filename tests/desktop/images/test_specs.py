"""Seeds, jobs and manifests: what goes in comes out, what is wrong is named."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies

from desktop.images import specs
from engine.errors import EngineError, ErrorCode
from engine.images.params import GenerateParams
from engine.job import MAX_SEED, JobSpec


@given(seed=strategies.integers(0, MAX_SEED))
def test_every_seed_is_read_back_from_its_text(seed: int) -> None:
    assert specs.parse_seed(f"  {seed} ") == seed


@pytest.mark.parametrize(
    "text", ["", "  ", "abc", "1.5", "1e3", "-1", str(MAX_SEED + 1), "7 8", "0x10"]
)
def test_what_is_no_seed_is_refused_with_advice(text: str) -> None:
    with pytest.raises(EngineError) as caught:
        specs.parse_seed(text)
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert "nothing was started" in caught.value.message
    assert caught.value.hint


def test_a_very_long_seed_text_is_not_repeated_whole() -> None:
    with pytest.raises(EngineError) as caught:
        specs.parse_seed("x" * 5000)
    assert len(caught.value.message) < 120


def test_random_seeds_are_seeds_and_differ() -> None:
    seeds = {specs.random_seed() for _ in range(50)}
    assert len(seeds) > 45
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


def test_the_form_gets_the_seed_after_the_count() -> None:
    names = list(specs.with_seed(specs.params_schema())["properties"])
    assert names[names.index("count") + 1] == "seed"
    assert set(names) - {"seed"} == set(GenerateParams.model_fields)


def test_a_job_from_the_form_is_the_job_the_command_line_would_make() -> None:
    values = {**GenerateParams(prompt="rocket", count=3).model_dump(), "seed": 11}
    job = specs.build_spec(values, "cpu")
    expected = GenerateParams(prompt="rocket", count=3).model_dump(mode="json")
    assert job == JobSpec("images.generate", expected, seed=11, device="cpu")


@pytest.mark.parametrize(
    ("name", "value"), [("steps", 0), ("steps", 10**6), ("count", -1), ("novel", 1)]
)
def test_a_job_the_engine_would_refuse_is_not_built(name: str, value: int) -> None:
    with pytest.raises(EngineError, match=name) as caught:
        specs.build_spec({**GenerateParams().model_dump(), "seed": 1, name: value})
    assert caught.value.code is ErrorCode.INVALID_INPUT


def manifest(**details: object) -> dict[str, object]:
    params = GenerateParams(prompt="red heart", count=4, steps=12).model_dump(mode="json")
    job = JobSpec("images.generate", params, seed=40, device="cpu")
    return {"spec": job.to_json(), "seed": 42, "prompt": "red heart", **details}


def test_running_again_asks_for_exactly_the_one_picture() -> None:
    job = specs.again(manifest())
    assert (job.seed, job.params["count"], job.device) == (42, 1, "cpu")
    assert job.params["steps"] == 12


def test_varying_keeps_everything_but_the_seed() -> None:
    job = specs.varied(manifest())
    original = JobSpec.from_json(manifest()["spec"])  # type: ignore[arg-type]
    assert job.params == original.params
    assert job.seed not in (40, 42)


def test_a_manifest_without_the_pictures_own_seed_gives_that_of_the_job() -> None:
    assert specs.settings_of(manifest(seed=None))["seed"] == 40


def test_a_result_of_another_workspace_is_refused() -> None:
    other = {"spec": JobSpec("bodies.recover").to_json()}
    with pytest.raises(EngineError, match=r"bodies\.recover"):
        specs.settings_of(other)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"steps": 30, "count": 4, "guidance": 2.5}, 240),
        ({"steps": 30, "count": 4, "guidance": 1}, 120),
        ({"steps": 30, "count": 1, "guidance": 0.0}, 30),
        ({"steps": 10, "count": 2, "guidance": 3, "sampler": {"name": "heun"}}, 76),
    ],
)
def test_evaluations_are_counted_as_the_engine_counts(params: dict, expected: int) -> None:
    assert specs.evaluations(params) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "less than 1 s"),
        (1, "1 s"),
        (59.4, "59 s"),
        (125, "2 min 5 s"),
        (1800, "30 min"),
        (11400, "3 h 10 min"),
    ],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert specs.duration(seconds) == text
