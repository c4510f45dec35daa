"""Examples in Arrow are the examples that went in; many rows read at once are those read one by one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unirex.data import align, encoded, store
from unirex.data.align import encode
from unirex.data.errors import DataError
from unirex.data.hub import read_hub
from unirex.data.mapping import HubConfig
from unirex.data.record import Records
from unirex.data.source import DataConfig, load_split
from unirex.data.store import ExampleStore, Spool, store_of
from unirex.data.tokenization import build_tokenizer
from unirex.data.toy import Kind, ToyConfig, toy_examples
from unirex.schema import Example, Segment


def facts(example: Example) -> tuple[Any, ...]:
    gold = None if example.gold is None else example.gold.tolist()
    texts = [(s.text, s.starts.tolist(), s.ends.tolist(), s.selectable) for s in example.segments]
    return example.id, texts, example.label, gold, example.choices, example.choice_labels


def made(kind: Kind = "pair") -> list[Example]:
    examples = toy_examples("train", config=ToyConfig(kind=kind, n_train=23), seed=0)
    half = Segment.from_words(["half", "\ud800"], selectable=False)
    return [*examples, replace(examples[0], id="\u00e9", segments=(half, *examples[0].segments[:1]), label=None)]


@pytest.fixture(params=["memory", "file"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[ExampleStore, Any]:
    """A store of several batches, and what went in."""
    if request.param == "file":
        monkeypatch.setattr(store, "IN_MEMORY", 0)
    examples = made()
    spool = Spool(tmp_path)
    for start in range(0, len(examples), 5):
        spool.add(store.to_batch(examples[start : start + 5]))
    found = spool.finish()
    assert list(tmp_path.iterdir()) == []
    return found, examples


def test_what_goes_in_comes_out(kept: tuple[ExampleStore, list[Example]]) -> None:
    found, examples = kept
    expected = [facts(example) for example in examples]
    assert [facts(example) for example in found] == expected
    assert [facts(found[i]) for i in range(-len(found), len(found))] == expected * 2
    assert [facts(example) for example in found[3:17:4]] == expected[3:17:4]
    assert [facts(example) for example in found[9::-1]] == expected[9::-1]  # two batches change places
    with pytest.raises(IndexError, match="example 24, expected one of 24"):
        found[24]


def test_parts_of_parts_in_any_order(kept: tuple[ExampleStore, list[Example]]) -> None:
    found, examples = kept
    places = np.random.default_rng(0).permutation(len(examples))
    hidden = np.arange(len(examples)) % 3 == 0
    part = found.without_gold(hidden).take(places)[2:20]
    expected = [replace(examples[i], gold=None) if hidden[i] else examples[i] for i in places[2:20]]
    assert [facts(example) for example in part] == [facts(example) for example in expected]
    assert [facts(part[i]) for i in range(18)] == [facts(example) for example in expected]


@pytest.mark.parametrize("kind", ["single", "pair", "choice"])
def test_tokens_are_the_same_in_memory_and_in_files(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = toy_examples("train", config=ToyConfig(kind=kind, n_train=23), seed=0)
    tokenizer = build_tokenizer(["a fine film"], size=200)
    expected = encode(tokenizer, examples, 24)
    monkeypatch.setattr(align, "EXAMPLES_AT_ONCE", 4)
    monkeypatch.setattr(encoded, "PARTS_IN_MEMORY", 2)
    found = encode(tokenizer, store_of(examples), 24)
    for name in align.Encoded.__slots__:  # type: ignore[attr-defined]
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs), name


ROWS = """key,text,other,label,a,b,why
1,a fine film,so  it is,1,"0,1,0",,*a fine* film
2,\u00e9t\u00e9\u3000dull\u00a0film,no,0,[1],"[0, 0, 0.5]",plain \\* text
3, x ,y z,,,,
4,one two,1,0,{},,one *two*
"""


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"id": "key", "text_pair": "other", "label": None},
        {"gold": ("b",), "label_names": ("neg", "pos")},
        {"gold": ("a", "b"), "gold_format": "indices", "vote": "soft", "text_pair": "other", "gold_pair": ("a", "b")},
        {"text": "why", "gold": ("why",), "gold_format": "marked"},
        {"text": "other", "text_pair": "label"},
    ],
)
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_at_once_is_one_by_one(fields: dict[str, Any], name: str, tmp_path: Path) -> None:
    """Where one by one refuses a row, nothing is read at once; else both make the same examples."""
    path = tmp_path / name
    if name == "rows.csv":
        path.write_text(ROWS, encoding="utf-8")
    else:
        import csv
        import json

        rows = [{k: v or None for k, v in row.items()} for row in csv.DictReader(ROWS.splitlines())]
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    config = DataConfig(source="hub", path=str(path), hub=HubConfig(**fields))
    (block,) = read_hub(str(path), "train", query="fixed", config=config.hub)
    assert isinstance(block, Records)
    try:
        slow = [(r.id, r.label, [(s.text, s.words) for s in r.texts], r.gold) for r in block.one_by_one()]
    except DataError:
        assert block.batch is None
        with pytest.raises(DataError, match=rf"{name}(:|: row )\d: .* expected "):
            load_split(config, "train")
        return
    assert block.batch is not None
    fast = [(e.id, e.label, [(s.text, s.words) for s in e.segments], e.gold) for e in load_split(config, "train")]
    for ours, theirs in zip(fast, slow, strict=True):
        assert ours[:3] == theirs[:3]
        np.testing.assert_array_equal(ours[3], theirs[3])


def test_the_first_of_two_faults_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("key,text,label\n1,a b,x\n1,c d,y\n3,,x\n", encoding="utf-8")
    config = DataConfig(source="hub", path=str(path), hub=HubConfig(id="key"))
    with pytest.raises(DataError, match=r"row 2: id '1' is a duplicate, expected it once \(first at .*: row 1\)$"):
        load_split(config, "train")


def test_a_stream_is_read_like_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"text": f"film number {i}", "label": i % 2} for i in range(2500)]
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"]))

    def load(path: str, subset: str | None, *, revision: str | None, streaming: bool = False) -> Any:
        data = datasets.Dataset.from_list(rows, features=features)
        return datasets.IterableDatasetDict(train=data.to_iterable_dataset(3)) if streaming else {"train": data}

    monkeypatch.setattr(datasets, "load_dataset", load)
    splits = {"train": "train[:90%]", "val": "train[-250:]"}
    for split, n in (("train", 2250), ("val", 250)):
        plain, stream = (
            load_split(
                DataConfig(source="hub", path="owner/films", hub=HubConfig(streaming=on, splits=splits)),
                split,  # type: ignore[arg-type]
            )
            for on in (False, True)
        )
        assert len(plain) == n
        assert [facts(example) for example in stream] == [facts(example) for example in plain]
