"""From a prompt to what the built-in generator is conditioned on: a class and caption words.

The model knows the words of its training captions and nothing else. A prompt is never silently
shortened: words outside the vocabulary are mapped through the pictures' keywords where that is
unambiguous, and reported otherwise, together with the nearest words the model does know.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

WORD = re.compile(r"[a-z0-9]+")
STOP_WORDS = frozenset(
    ("a", "an", "the", "of", "and", "or", "with", "in", "on", "at", "to", "is", "are", "my", "for")
)


@dataclass(frozen=True)
class Prompt:
    """What a prompt means to the model.

    Attributes
    ----------
    words
        Indices into the word table, in prompt order, without repeats.
    label
        Class index, or ``None`` for "no class".
    mapped
        Prompt words that were replaced, as ``(written, used)``.
    unknown
        Prompt words without a meaning to this model, each with the nearest known words.
    """

    words: tuple[int, ...]
    label: int | None
    mapped: tuple[tuple[str, str], ...] = ()
    unknown: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the prompt was understood, one sentence each."""
        notes = [f"'{written}' is taken as '{used}'." for written, used in self.mapped]
        for word, near in self.unknown:
            known = f" Nearest known words: {', '.join(near)}." if near else ""
            notes.append(f"'{word}' is not in this model's words and has no effect.{known}")
        return tuple(notes)


@dataclass(frozen=True)
class Vocabulary:
    """Words, classes and captions a generator was trained with.

    Attributes
    ----------
    words
        The word table, sorted; a word's position is its row in the model.
    class_names
        Names of the classes; a name's position is its label.
    captions
        Training captions without repeats, each with its label.
    keywords
        Further words, each with the caption word it stands for.
    """

    words: tuple[str, ...]
    class_names: tuple[str, ...]
    captions: tuple[tuple[str, int], ...]
    keywords: dict[str, str]

    @classmethod
    def from_captions(
        cls,
        captions: Sequence[str],
        keywords: Sequence[Sequence[str]],
        labels: Sequence[int],
        class_names: Sequence[str],
    ) -> Vocabulary:
        """Collect the vocabulary of a training set (three sequences of equal length)."""
        words = sorted({word for caption in captions for word in caption.split()})
        distinct = dict(zip(captions, labels, strict=True))
        uses = Counter(word for caption in captions for word in caption.split())
        together: dict[str, Counter[str]] = {}
        for caption, extra in zip(captions, keywords, strict=True):
            for keyword in extra:
                if keyword not in uses:
                    together.setdefault(keyword, Counter()).update(caption.split())
        # A keyword stands for the caption word it goes with most reliably: relative to how common
        # that word is ("smile" must not come to mean "face"), and with a doubt of two uses
        # ("puppy" goes with "prints" once, always; with "dog" four times of five).
        known = {
            keyword: max(counts, key=lambda word: (counts[word] / (uses[word] + 2), word))
            for keyword, counts in sorted(together.items())
        }
        return cls(tuple(words), tuple(class_names), tuple(distinct.items()), known)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def _labels(self) -> dict[str, int]:
        return dict(self.captions)

    @cached_property
    def _label_votes(self) -> dict[str, Counter[int]]:
        votes: dict[str, Counter[int]] = {}
        for caption, label in self.captions:
            for word in caption.split():
                votes.setdefault(word, Counter())[label] += 1
        return votes

    def parse(self, text: str, class_name: str | None = None) -> Prompt:
        """Interpret a prompt.

        The class is the given one, else that of the caption equal to the prompt, else the one the
        known words occur in most, else none.
        """
        written = list(dict.fromkeys(WORD.findall(text.lower())))
        if " ".join(written) not in self._labels:
            written = [word for word in written if word not in STOP_WORDS]
        used: list[str] = []
        mapped: list[tuple[str, str]] = []
        unknown: list[tuple[str, tuple[str, ...]]] = []
        for word in written:
            meaning = self._meaning(word)
            if meaning is None:
                unknown.append((word, self.nearest(word)))
                continue
            if meaning != word:
                mapped.append((word, meaning))
            if meaning not in used:
                used.append(meaning)
        label = self.class_names.index(class_name) if class_name else self._guess_label(used)
        indices = tuple(self._index[word] for word in used)
        return Prompt(indices, label, tuple(mapped), tuple(unknown))

    def _meaning(self, word: str) -> str | None:
        candidates = [word, word.removesuffix("s"), word + "s", word.removesuffix("es")]
        for candidate in candidates:
            if candidate in self._index:
                return candidate
        for candidate in candidates:
            if candidate in self.keywords:
                return self.keywords[candidate]
        return None

    def _guess_label(self, words: Sequence[str]) -> int | None:
        exact = self._labels.get(" ".join(words))
        if exact is not None:
            return exact
        total: Counter[int] = Counter()
        for word in words:
            votes = self._label_votes[word]
            share = sum(votes.values())
            for label, count in votes.items():
                total[label] += count / share  # type: ignore[assignment]
        return total.most_common(1)[0][0] if total else None

    def nearest(self, word: str, count: int = 3) -> tuple[str, ...]:
        """Known words spelled most like an unknown one."""
        pool = [*self.words, *self.keywords]
        return tuple(difflib.get_close_matches(word, pool, n=count, cutoff=0.6))

    def complete(self, prefix: str, count: int = 12) -> tuple[str, ...]:
        """Captions that start with, then contain, what was typed; shortest first."""
        typed = " ".join(WORD.findall(prefix.lower()))
        names = [caption for caption, _ in self.captions]
        starting = sorted((c for c in names if c.startswith(typed)), key=lambda c: (len(c), c))
        inside = sorted(
            (c for c in names if typed in c and not c.startswith(typed)), key=lambda c: (len(c), c)
        )
        return tuple([*starting, *inside][:count])

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary; the inverse of :meth:`from_json`."""
        return {
            "words": list(self.words),
            "class_names": list(self.class_names),
            "captions": [list(pair) for pair in self.captions],
            "keywords": self.keywords,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Vocabulary:
        """Rebuild from :meth:`to_json`."""
        return cls(
            tuple(data["words"]),
            tuple(data["class_names"]),
            tuple((str(text), int(label)) for text, label in data["captions"]),
            dict(data["keywords"]),
        )
