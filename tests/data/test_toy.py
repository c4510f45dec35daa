import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from unirex.data import DataConfig, ToyConfig, load_split, toy
from unirex.data.toy import CUES, INTENSIFIERS, NEUTRAL, OPPOSITES, TOPICS
from unirex.schema import Example

KINDS = ["single", "pair", "choice"]
CUE_CLASS = {cue: label for label, cues in CUES.items() for cue in cues}
SPLITS: tuple[Any, ...] = ("train", "val", "test")


def made(kind: Any, split: Any = "train", seed: int = 0, **sizes: Any) -> Sequence[Example]:
    config = DataConfig(toy=ToyConfig(kind=kind, **{"n_train": 400, "n_val": 60, "n_test": 80, **sizes}), seed=seed)
    return list(load_split(config, split))


part = cache(made)


def corpus(kind: Any, **sizes: Any) -> dict[str, Sequence[Example]]:
    return {split: part(kind, split, **sizes) for split in SPLITS}


def plain(example: Example) -> tuple[Any, ...]:
    gold = None if example.gold is None else example.gold.tolist()
    texts = [segment.text for segment in example.segments]
    return example.id, texts, example.label, gold, example.choices, example.choice_labels


def marked(example: Example) -> list[str]:
    assert example.gold is not None
    return [word for word, mark in zip(example.words, example.gold, strict=True) if mark]


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_sizes_ids_and_texts(self, kind: str) -> None:
        splits = corpus(kind)
        assert [len(splits[split]) for split in SPLITS] == [400, 60, 80]
        everything = [example for examples in splits.values() for example in examples]
        assert len({example.id for example in everything}) == len(everything)
        assert len({tuple(s.text for s in example.segments) for example in everything}) == len(everything)

    def test_the_seed_decides_everything(self, kind: str) -> None:
        once, again, other = (list(map(plain, made(kind, "val", seed))) for seed in (0, 0, 1))
        assert once == again
        assert once != other

    def test_all_words_occur_and_no_others(self, kind: Any) -> None:
        groups: dict[str, list[Sequence[str]]] = {
            "single": [*CUES.values(), INTENSIFIERS],
            "pair": list(OPPOSITES),
            "choice": [list(TOPICS), *TOPICS.values()],
        }
        words = {*NEUTRAL, *(word for group in groups[kind] for word in group)}
        seen: set[str] = set()
        for example in part(kind, n_train=3000):
            seen.update(example.words, *(choice.split() for choice in example.choices))
        assert seen == words

    def test_some_have_no_gold_and_the_others_a_mask(self, kind: str) -> None:
        examples = part(kind)
        assert 0.05 < np.mean([example.gold is None for example in examples]) < 0.15
        for example in examples:
            if example.gold is not None:
                assert example.gold.dtype == np.float32
                assert len(example.gold) == example.n_words
                assert 0 < example.gold.sum() < len(example.gold)
        assert all(example.gold is not None for example in part(kind, without_gold=0.0))
        assert all(example.gold is None for example in part(kind, without_gold=1.0))

    def test_labels_are_balanced(self, kind: str) -> None:
        counts = Counter(example.label for example in part(kind))
        assert len(counts) == {"single": 2, "pair": 3, "choice": 4}[kind]
        assert min(counts.values()) > 0.7 * 400 / len(counts)


def test_single_the_majority_of_the_cues_is_the_label_and_its_cues_are_the_gold() -> None:
    phrases = 0
    for example in part("single", without_gold=0.0):
        assert 12 <= example.n_words <= 32
        classes = Counter(CUE_CLASS[word] for word in example.words if word in CUE_CLASS)
        assert classes.most_common(1)[0][0] == example.label
        assert classes[str(example.label)] in {2, 3, 4}
        assert classes.total() - classes[str(example.label)] in {0, 1}
        words = marked(example)
        cues = [word for word in words if word in CUE_CLASS]
        assert cues == [word for word in example.words if CUE_CLASS.get(word) == example.label]
        assert {word for word in words if word not in CUE_CLASS} <= set(INTENSIFIERS)
        phrases += len(words) - len(cues)
    assert phrases > 100


def test_pair_the_hypothesis_answers_a_word_of_the_premise() -> None:
    opposite = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}
    for example in part("pair", without_gold=0.0):
        first, second = ([word for word in segment.words if word in opposite] for segment in example.segments)
        (premise,), (hypothesis,) = first, second
        if example.label == "entailment":
            assert hypothesis == premise
        elif example.label == "contradiction":
            assert hypothesis == opposite[premise]
        else:
            assert hypothesis not in {premise, opposite[premise]}
        assert marked(example) == ([hypothesis] if example.label == "neutral" else [premise, hypothesis])


def test_choice_the_cues_belong_to_the_right_choice_only() -> None:
    topic = {cue: name for name, cues in TOPICS.items() for cue in cues}
    for example in part("choice", without_gold=0.0):
        assert len(set(example.choices)) == len(example.choice_labels) == 4
        right = example.choices[example.choice_labels.index(str(example.label))]
        cues = [word for word in example.words if word in topic]
        assert {topic[cue] for cue in cues} == {right}
        assert marked(example) == cues
        assert len(example.segments) == 1


def test_no_text_comes_twice_even_where_few_are_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "NEUTRAL", ("word",))
    splits = corpus("pair", n_train=1500, n_val=500, n_test=500)
    texts = [tuple(segment.text for segment in example.segments) for split in SPLITS for example in splits[split]]
    assert len(set(texts)) == len(texts) == 2500


def test_cues_are_never_neutral_words() -> None:
    cues = [
        *CUE_CLASS,
        *(word for pair in OPPOSITES for word in pair),
        *TOPICS,
        *(w for ws in TOPICS.values() for w in ws),
    ]
    assert len(set(cues)) == len(cues)
    assert len(set(NEUTRAL)) == len(NEUTRAL)
    assert not set(cues) & set(NEUTRAL)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_val": -1}, "data.toy.n_val is -1, expected 0 or more"),
        ({"without_gold": 1.5}, "data.toy.without_gold is 1.5, expected 0 to 1"),
    ],
)
def test_config(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ToyConfig(**fields)
