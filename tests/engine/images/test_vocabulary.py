"""Prompts: what is understood, what is mapped, and that nothing is ignored silently."""

from __future__ import annotations

import json

import pytest

from engine.images.vocabulary import Vocabulary

CAPTIONS = ["red heart", "blue heart", "dog face", "cat face", "grinning face", "rocket"]
KEYWORDS = [
    ["love"], ["love", "sad"], ["puppy", "pet"], ["kitten", "pet"], ["smile"], ["spaceship"],
]  # fmt: skip
LABELS = [1, 1, 2, 2, 0, 3]
CLASSES = ["faces", "hearts and marks", "animals", "vehicles"]


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary.from_captions(CAPTIONS, KEYWORDS, LABELS, CLASSES)


def words_of(vocabulary: Vocabulary, prompt: str) -> list[str]:
    return [vocabulary.words[index] for index in vocabulary.parse(prompt).words]


def test_known_caption_gives_its_words_and_class(vocabulary: Vocabulary) -> None:
    meaning = vocabulary.parse("Red Heart!")
    assert words_of(vocabulary, "Red Heart!") == ["red", "heart"]
    assert meaning.label == 1
    assert meaning.notes() == ()


def test_keyword_is_mapped_and_said(vocabulary: Vocabulary) -> None:
    meaning = vocabulary.parse("a puppy")
    assert words_of(vocabulary, "a puppy") == ["dog"]
    assert meaning.mapped == (("puppy", "dog"),)
    assert meaning.notes() == ("'puppy' is taken as 'dog'.",)


def test_rare_word_wins_over_common_one(vocabulary: Vocabulary) -> None:
    # "smile" goes with "grinning" and "face"; only the first says what it is.
    assert words_of(vocabulary, "smile") == ["grinning"]


def test_plural_is_understood(vocabulary: Vocabulary) -> None:
    assert words_of(vocabulary, "rockets") == ["rocket"]


def test_unknown_word_is_reported_with_the_nearest(vocabulary: Vocabulary) -> None:
    meaning = vocabulary.parse("red hart on zzzz")
    assert [word for word, _ in meaning.unknown] == ["hart", "zzzz"]
    assert "heart" in dict(meaning.unknown)["hart"]
    assert "no effect" in meaning.notes()[0]
    assert len(meaning.notes()) == 2


def test_class_is_guessed_from_words_given_or_absent(vocabulary: Vocabulary) -> None:
    assert vocabulary.parse("blue dog face").label == 2
    assert vocabulary.parse("rocket", "faces").label == 0
    assert vocabulary.parse("").label is None
    assert vocabulary.parse("zzzz").label is None


def test_repeated_words_count_once(vocabulary: Vocabulary) -> None:
    assert words_of(vocabulary, "heart heart love") == ["heart"]


def test_completion_prefers_what_starts_like_it(vocabulary: Vocabulary) -> None:
    assert vocabulary.complete("ca") == ("cat face",)
    assert vocabulary.complete("face") == ("cat face", "dog face", "grinning face")
    assert vocabulary.complete("nothing like it") == ()


def test_json_round_trip(vocabulary: Vocabulary) -> None:
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary
