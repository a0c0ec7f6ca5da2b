"""The steps of an alignment as data: growing, reading, words."""

from __future__ import annotations

import math

import pytest

from desktop.images.align_record import changes_of, indicators_of, known_words, read_record
from desktop.images.align_rewards import read_rewards
from desktop.images.align_steps import AlignRecord, AlignSteps, power
from engine.errors import EngineError, ErrorCode
from engine.job import ArtifactRef
from engine.project import Project
from tests.desktop.images.aligning import (
    STEPS,
    add_aligned,
    align_spec,
    curve_bytes,
    noise_bytes,
    points,
)


def run(**params: int) -> AlignSteps:
    steps = AlignSteps(STEPS)
    for values in points(**params):
        steps.add(values)
    return steps


def test_steps_grow_and_know_their_best_and_their_last_green_one() -> None:
    steps = run(upto=8, red_from=7)
    assert [point.step for point in steps.points] == list(range(9))
    assert steps.best is not None
    assert (steps.best.step, steps.last_green.step if steps.last_green else None) == (6, 5)
    assert steps.names == ["brightness", "white_border"]
    assert steps.reward("brightness")[2] == 28.0
    assert steps.column("total")[0] == pytest.approx(-0.2)


def test_a_retry_starts_the_steps_anew() -> None:
    steps = run(upto=6)
    for values in points(upto=2):
        steps.add(values)
    assert [point.step for point in steps.points] == [0, 1, 2]


def test_the_time_left_follows_the_last_steps_and_the_limit() -> None:
    steps = run(upto=4)
    assert (steps.seconds, steps.seconds_each) == (7.5, 1.5)
    assert steps.seconds_left() == pytest.approx(9.0)
    assert steps.seconds_left(8.0) == pytest.approx(0.5)
    assert AlignSteps(5).seconds_left() is None


def test_a_reward_without_a_known_range_is_shown_as_it_is() -> None:
    steps = AlignSteps(STEPS)
    steps.add({**next(points()), "positions": {"white_border": 90.0}})
    assert steps.reward("brightness")[0] == pytest.approx(0.6)
    assert steps.reward("white_border")[0] == 90.0


def test_a_probability_too_small_for_json_is_the_least_there_is() -> None:
    steps = AlignSteps(STEPS)
    steps.add({**next(points()), "log10_p": None, "gradient_norm": None})
    point = steps.points[0]
    assert power(point.log10_p) == "below 1e-300"
    assert math.isnan(point.gradient_norm)
    assert "below 1e-300" in point.probabilities()


@pytest.mark.parametrize(
    ("log10", "text"), [(0.0, "1"), (-0.5, "0.32"), (-3.0, "0.001"), (-4.7, "2e-5"), (-290.0, "1e-290")]
)
def test_probabilities_are_written_to_be_read(log10: float, text: str) -> None:
    assert power(log10) == text


def test_steps_as_csv() -> None:
    lines = run(upto=1).as_csv().decode().splitlines()
    assert lines[0].startswith("step,total,log10_p")
    assert lines[0].endswith("brightness,white_border,brightness_of_100,white_border_of_100")
    assert len(lines) == 3
    assert lines[2].split(",")[:5] == ["1", "-0.1", "-0.5", "-0.8", "green"]


# --- files ----------------------------------------------------------------------------------------


def finished(project: Project, **details: object) -> dict[str, object]:
    job = project.add_job(align_spec())
    return project.manifest(add_aligned(project, job, **details))  # type: ignore[arg-type]


def test_a_record_has_steps_pictures_and_what_can_be_gone_on_from(project: Project) -> None:
    read = read_record(project, finished(project)["align"])  # type: ignore[arg-type]
    assert [point.step for point in read.steps.points] == list(range(STEPS + 1))
    assert [number for number, _ in read.film] == list(range(STEPS + 1))
    assert read.film[3][1].pixelColor(0, 0).red() == 40
    assert read.kept == (0, 5, 10)
    assert read.reached == STEPS + 1
    assert [read.start_for(step) for step in (0, 4, 7, 10)] == [0, 0, 5, 10]


def test_a_record_without_pictures_and_noise_still_has_its_steps(project: Project) -> None:
    read = read_record(project, finished(project, film=False, kept=False)["align"])  # type: ignore[arg-type]
    assert (read.film, read.kept, read.start_for(5)) == ((), (), None)
    assert len(read.steps.points) == STEPS + 1


@pytest.mark.parametrize("data", [b"", b"junk" * 40, curve_bytes(list(points()))[:-9]])
def test_a_damaged_record_is_told(project: Project, data: bytes) -> None:
    damaged = project.store.put(data, "application/x-safetensors", {"name": "x"})
    with pytest.raises(EngineError, match="record of this picture's alignment is damaged") as caught:
        read_record(project, {"curve": damaged.to_json()})
    assert caught.value.code is ErrorCode.BAD_FILE


def test_a_missing_noise_file_is_told(project: Project) -> None:
    curve = project.store.put(curve_bytes(list(points())), "application/x-safetensors", {"name": "x"})
    gone = ArtifactRef("ab" * 32, "application/x-safetensors", 3)
    with pytest.raises(EngineError, match="alignment is damaged"):
        read_record(project, {"curve": curve.to_json(), "noise": gone.to_json()})


def test_the_header_of_a_noise_file_is_enough(project: Project) -> None:
    curve = project.store.put(curve_bytes(list(points())), "application/x-safetensors", {"name": "x"})
    noise = project.store.put(noise_bytes([0, 5], 3, 8), "application/x-safetensors", {"name": "n"})
    read = read_record(project, {"curve": curve.to_json(), "noise": noise.to_json()})
    assert (read.kept, read.reached) == ((0, 3, 5), 8)
    assert isinstance(read, AlignRecord)


def test_all_rewards_before_and_after(project: Project) -> None:
    read_rewards()
    manifest = finished(project)
    changes = {change.title: change for change in changes_of(manifest)}
    assert list(changes) == ["Brightness", "White border", "Contrast", "Sharpness"]
    bright, border, contrast = (changes[n] for n in ("Brightness", "White border", "Contrast"))
    assert (bright.wanted, bright.words, bright.of_100) == (1, "better", True)
    # Less of it was wanted, and less it became.
    assert (border.wanted, border.words) == (-1, "better")
    assert (contrast.wanted, contrast.words) == (0, "less")
    assert changes["Sharpness"].words == "same"


def test_rewards_of_a_model_without_known_ranges_are_shown_as_they_are(project: Project) -> None:
    read_rewards()
    manifest = finished(project)
    spec = manifest["spec"]
    spec["params"]["picture"]["model"] = "my-model"  # type: ignore[index]
    change = changes_of(manifest)[0]
    assert (change.of_100, change.before, change.text(change.before)) == (False, 0.6, "0.6")


def test_the_indicators_are_told_in_words(project: Project) -> None:
    text = indicators_of(finished(project))
    assert "Noise: doubtful (P 0.01, worst step 0.01)." in text
    assert "like those of other seeds (+0.1 before, +0.9 after" in text
    assert known_words(4.0) == "less well than those of other seeds"
    assert known_words(-4.0) == "as plainer than those of other seeds"
    assert indicators_of({}) == ""
