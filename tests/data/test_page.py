"""The examples of docs/data.md, written to files, parsed and run as a reader of the page would."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser

from unirex.data import DataConfig, label_names, load_split
from unirex.schema import Example

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples_of_the_page() -> list[tuple[str, dict[str, str]]]:
    """Each YAML block with the files that stand above it and below the YAML block before."""
    found = []
    files: dict[str, str] = {}
    for language, name, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "yaml":
            found.append((content, files))
            files = {}
        elif name:
            files[name] = content
    return found


EXAMPLES = {yaml.safe_load(text)["data"].get("path", "toy"): (text, files) for text, files in examples_of_the_page()}
MARKED: dict[str, list[tuple[str | None, list[str] | None]]] = {
    "films": [("pos", ["very", "fine"]), ("neg", ["loud", "tiresome."]), ("pos", [])],
    "reviews/train.jsonl": [("pos", ["fine"]), ("neg", ["dull"])],
    "posts/{split}.json": [("rude", ["utter", "fool"]), ("kind", ["well", "done"])],
    "comments": [("rude", ["utter", "fool,"]), ("kind", ["Thank", "you,", "well", "done."])],
    "nli": [
        ("entailment", ["boys 0.5", "run", "moving"]),
        ("contradiction", ["run", "home 0.5", "sit"]),
        ("neutral", ["brothers"]),
    ],
    "claims": [("no", ["Colds", "lasted", "as", "long", "as", "ever"]), ("yes", ["It", "was", "hot"])],
    "quiz": [("A", ["fish", "live"]), ("B", ["dark", "noon"])],
    "movies": [("POS", ["fine", "film", "not", "dull"]), ("NEG", None)],
    "cose": [("A", ["fish", "live"]), ("B", ["dark"])],
}


def marked(example: Example) -> list[str] | None:
    """The marked words, with the share where not all annotators marked them."""
    if example.gold is None:
        return None
    pairs = zip(example.words, example.gold.tolist(), strict=True)
    return [word if share == 1 else f"{word} {share}" for word, share in pairs if share]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def config(path: str) -> DataConfig:
        text, files = EXAMPLES[path]
        for name, content in files.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(content, encoding="utf-8")
        Path("run.yaml").write_text(text, encoding="utf-8")
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--config", action="config")
        parser.add_argument("--data", type=DataConfig, default=DataConfig())
        parsed: DataConfig = parser.instantiate(parser.parse_args(["--config=run.yaml"])).data
        return parsed

    return config


def test_the_page_has_no_other_examples() -> None:
    assert set(EXAMPLES) == {*MARKED, "toy"}
    assert len(EXAMPLES) == len(examples_of_the_page())


@pytest.mark.parametrize("path", MARKED)
def test_example(run: Any, path: str) -> None:
    config = run(path)
    train = load_split(config, "train")
    assert [(example.label, marked(example)) for example in train] == MARKED[path]
    assert len(label_names(config, train)) >= 2


def test_what_the_page_says_beside_them(run: Any) -> None:
    (last,) = load_split(run("reviews/train.jsonl"), "val")
    assert (last.label, last.gold) == ("neg", None)
    assert load_split(run("films"), "train")[2].segments[0].text == "Rated 3* by nearly everybody."
    assert [example.id for example in load_split(run("posts/{split}.json"), "train")] == ["17", "18"]
    claim = load_split(run("claims"), "train")[0]
    assert [(segment.text[:10], segment.selectable) for segment in claim.segments] == [
        ("Tea cures ", False),
        ("We gave te", True),
    ]
    quiz, cose = (load_split(run(path), "train") for path in ("quiz", "cose"))
    assert (
        [e.choices for e in quiz]
        == [e.choices for e in cose]
        == [("sea", "moon", "attic"), ("beach", "cellar", "meadow")]
    )


def test_toy(run: Any) -> None:
    train = load_split(run("toy"), "train")
    assert len(train) == 200
    assert {example.label for example in train} == {"positive", "negative"}
