"""ROAR: which words are masked next, that no run sees them, and a level of it from training to training."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import predictions
from unirex import evaluate, roar, suite, train
from unirex.config.identity import determining
from unirex.data import DataConfig, load_split
from unirex.data.masks import Masks, read_masks, with_top, write_masks
from unirex.data.tokenization import build_tokenizer
from unirex.data.tools import Tools
from unirex.data.toy import ToyConfig
from unirex.suites.recipe import read_suite

ROOT = Path(__file__).parents[1]
TOY = ["--data.toy.n_train=40", "--data.toy.n_val=10", "--data.toy.n_test=10"]
TINY = ["--model.random.hidden_size=16", "--model.random.num_attention_heads=2", "--train.epochs=1", "--train.lr=0.001"]


@given(
    st.lists(st.tuples(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), st.booleans()), max_size=12),
    st.sampled_from([0.0, 0.01, 0.2, 0.5, 0.75, 1.0]),
)
def test_the_highest_words_that_are_left_are_masked(words: list[tuple[float, bool]], share: float) -> None:
    scores, before = np.array([s for s, _ in words], np.float32), np.array([b for _, b in words], np.bool_)
    found = with_top(scores, before, share)
    assert found[before].all()
    wanted = min(len(words), max(1, round(share * len(words)))) if share else 0
    assert found.sum() == max(wanted, before.sum())
    ranked = sorted((i for i in range(len(words)) if not before[i]), key=lambda i: (-scores[i], i))
    assert set(np.flatnonzero(found & ~before)) == set(ranked[: max(0, wanted - int(before.sum()))])


@pytest.mark.parametrize("kind", ["single", "pair", "choice"])
@pytest.mark.parametrize("max_length", [12, 64])
def test_the_tokens_of_masked_words_and_no_others_are_the_mask_token(kind: Any, max_length: int) -> None:
    examples = load_split(DataConfig(toy=ToyConfig(kind=kind, n_train=30)), "train")
    texts = [text for part in examples for text in (*(s.text for s in part.segments), *part.choices)]
    tokenizer = build_tokenizer(texts, size=60)  # words of several pieces
    rng = np.random.default_rng(0)
    by_id = {example.id: rng.random(example.n_words) < 0.4 for example in examples}
    plain = Tools(tokenizer=tokenizer, extractor_tokenizer=tokenizer, max_length=max_length)
    labels = sorted({str(example.label) for example in examples})
    before = plain.encode(examples, labels)
    untouched = before.encoded.input_ids.copy()
    assert (Masks(path="m", by_id=by_id).apply(before.encoded, examples, 1).input_ids != untouched).any()
    assert (before.encoded.input_ids == untouched).all()
    masked = Tools(**{**vars(plain), "masks": Masks(path="m", by_id=by_id)}).encode(examples, labels)
    assert before.extractor is not None
    assert masked.extractor is not None
    for one, other in ((before.encoded, masked.encoded), (before.extractor, masked.extractor)):
        expected = one.input_ids.copy()
        for number, example in enumerate(examples):
            for row in range(*one.example_rows[number : number + 2]):
                for place in range(*one.row_offsets[row : row + 2]):
                    word = one.token_words[place]
                    if word >= 0 and by_id[example.id][word]:
                        expected[place] = tokenizer.mask_token_id
        assert (other.input_ids == expected).all()
        assert (one.input_ids != expected).any()
        assert (one.token_words == other.token_words).all()


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    examples = load_split(DataConfig(toy=ToyConfig(n_train=3)), "train")
    tools = Tools(tokenizer=build_tokenizer(["a"]), extractor_tokenizer=None, max_length=32)
    labels = ["negative", "positive"]
    for by_id, message in (
        ({}, "m: no row for instance"),
        ({example.id: np.zeros(2, np.bool_) for example in examples}, f"2 words, expected {examples[0].n_words}"),
    ):
        with pytest.raises(ValueError, match=message):
            Tools(**{**vars(tools), "masks": Masks(path="m", by_id=by_id)}).encode(examples, labels)
    path = tmp_path / "m.parquet"
    with pytest.raises(ValueError, match="no such file, expected masks written by"):
        read_masks(path)
    path.write_text("no")
    with pytest.raises(ValueError, match=r"m.parquet: .*"):
        read_masks(path)
    for table, message in (
        (pa.table({"id": ["a"]}), "holds id, expected masks"),
        (pa.table({"id": ["a", "a"], "masked": [[True], [False]]}), "id 'a' is a duplicate"),
        (pa.table({"id": ["a"], "masked": [[True, None]]}), "id 'a': masked holds null, expected true or false"),
        (pa.table({"id": ["a"], "masked": pa.array([None], pa.list_(pa.bool_()))}), "expected masks written by"),
    ):
        pq.write_table(table, path)
        with pytest.raises(ValueError, match=message):
            read_masks(path)
    write_masks(path, {"a": np.array([True, False]), "b": np.zeros(0, np.bool_)})
    assert {name: mask.tolist() for name, mask in read_masks(path).by_id.items()} == {"a": [True, False], "b": []}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["--data.masked_share=0.2"], "data.masked_share is 0.2, expected 0 without data.masked"),
        (["--data.masked_share=1"], "data.masked_share is 1.0, expected 0 or more and less than 1"),
        (["--data.masked=none", "--data.masked_share=0.25"], "none/0.25.parquet: no such file, expected masks"),
    ],
)
def test_wrong_settings_are_one_line(
    settings: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*TOY, *TINY, *settings, f"--output={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_a_run_without_masked_words_is_the_same_run_whatever_the_folder() -> None:
    none, some = ({"data": {"masked": "a", "masked_share": share}} for share in (0.0, 0.2))
    assert determining(none) == {"data": {"masked": None, "masked_share": 0.0}}
    assert determining(some) == some


def ids_of(path: Path) -> list[str]:
    found: list[str] = pq.read_table(path)["id"].to_pylist()
    return found


def test_a_level_from_training_to_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def level(name: str, *more: str) -> list[str]:
        run = tmp_path / name
        assert train.main([*TOY, *TINY, "--eval.references=[]", *more, f"--output={run}"]) == 0
        files = []
        for split in ("train", "val", "test"):
            of = [f"--model={run / 'model'}", f"--eval.split={split}", "--eval.references=[]", "--eval.fractions=[0.5]"]
            assert evaluate.main([*of, *TOY, *more, f"--output={run / split}"]) == 0
            files.append(str(run / split / "predictions.parquet"))
        return files

    masks = tmp_path / "masks"
    first = level("first")
    capsys.readouterr()
    assert roar.main([*(f"--scores={name}" for name in first), "--share=0.25", f"--output={masks}"]) == 0
    assert f"{masks / '0.25.parquet'}: " in capsys.readouterr().out
    half = read_masks(masks / "0.25.parquet").by_id
    assert set(half) == {name for file in first for name in ids_of(Path(file))}
    assert len(half) == 60
    for file in first:
        for row in pq.read_table(file, columns=["id", "scores"]).to_pylist():
            scores = np.array([-np.inf if s is None else s for s in row["scores"]], np.float32)
            assert (half[row["id"]] == with_top(scores, np.zeros(len(scores), np.bool_), 0.25)).all()

    seen = [f"--data.masked={masks}", "--data.masked_share=0.25"]
    second = level("second", *seen)
    assert roar.main(["--scores", *second, "--share=0.5", "--before=0.25", f"--output={masks}"]) == 0
    more = read_masks(masks / "0.5.parquet").by_id
    assert all(more[name][mask].all() for name, mask in half.items())
    assert all(more[name].sum() == round(len(mask) / 2) for name, mask in half.items())

    # A run does not go on with other masks under the same name.
    write_masks(masks / "0.25.parquet", {name: ~mask for name, mask in half.items()})
    again = [*TOY, *TINY, "--eval.references=[]", *seen, f"--output={tmp_path / 'second'}", "--resume=true"]
    (tmp_path / "second" / "metrics.json").unlink()
    capsys.readouterr()
    assert train.main(again) == 2
    assert "0.25.parquet has digest " in capsys.readouterr().err

    # The same model on texts in which the words are written as the mask token, and on the masks of the data set.
    rows = []
    for example in load_split(DataConfig(toy=ToyConfig(n_train=40, n_val=10, n_test=10)), "test"):
        words = [word if not hidden else "[MASK]" for word, hidden in zip(example.words, half[example.id], strict=True)]
        rows.append({"id": example.id, "text": " ".join(words), "label": example.label})
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    written = [f"--model={tmp_path / 'second' / 'model'}", "--eval.references=[]", "--data.source=hub"]
    written += [f"--data.path={texts}", "--data.hub.text=text", f"--output={tmp_path / 'written'}"]
    assert evaluate.main(written) == 0
    tables = [pq.read_table(tmp_path / name / "predictions.parquet") for name in ("second", "written")]
    for one, other in zip(*(table["probabilities"].to_pylist() for table in tables), strict=True):
        assert one == pytest.approx(other, abs=1e-5)  # other rows pass together


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--share=1"], "--share is 1.0, expected more than 0 and less than 1"),
        (["--share=0.2", "--before=0.2"], "--before is 0.2, expected 0 or more and less than --share, 0.2"),
        (["--share=0.2", "--random=-1"], "--random is -1, expected a seed of at least 0"),
        (["--share=0.2", "--before=0.1"], "0.1.parquet: no such file, expected masks"),
        (["--share=0.2", "--scores", "FILE", "FILE"], "is also in an earlier file, expected it once in all"),
        (["--share=0.2", "--shore=1"], "did you mean --share?"),
        (["--share=0.5", "--before=0.3"], "id 'row-1-0-é': no row, expected "),
        (["--share=0.5", "--before=0.4"], "id 'row-1-0-é': 77 words, expected "),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.parquet"
    pq.write_table(predictions.table(1, 4), file)
    write_masks(tmp_path / "0.3.parquet", {"other": np.ones(1, np.bool_)})
    write_masks(tmp_path / "0.4.parquet", {"row-1-0-é": np.ones(77, np.bool_)})
    given = [str(file) if argument == "FILE" else argument for argument in arguments]
    given = given if "--scores" in given else ["--scores", str(file), *given]
    assert roar.main([*given, f"--output={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "0.2.parquet").exists()


def test_a_file_without_scores_masks_nothing_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.jsonl").touch()
    arguments = ["--scores", str(tmp_path / "s.jsonl"), "--share=0.2", f"--output={tmp_path / 'masks'}"]
    assert roar.main(arguments) == 2
    assert "s.jsonl: no rows, expected the scores of a text in each" in capsys.readouterr().err
    assert not (tmp_path / "masks").exists()


def test_words_at_random_depend_on_the_seed_alone(tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    pq.write_table(predictions.table(1, 40), file)
    found = []
    for number, seed in enumerate((0, 0, 1)):
        folder = tmp_path / str(number)
        call = ["--scores", str(file), "--share=0.5", f"--random={seed}", f"--output={folder}"]
        assert roar.main(call) == 0
        found.append([mask.tolist() for mask in read_masks(folder / "0.5.parquet").by_id.values()])
    assert found[0] == found[1] != found[2]


def test_the_script_finds_in_the_suite_what_it_asks_for() -> None:
    script = ROOT / "recipes" / "roar.sh"
    assert subprocess.run(["bash", "-n", script], check=False, capture_output=True).stderr == b""
    made = read_suite(str(ROOT / "recipes" / "suites" / "evidence-roar.yaml"))
    assert list(made.data) == ["sst-0", "sst-20", "sst-40", "sst-60"]
    for label, part in made.data.items():
        assert float(part.settings.get("data.masked_share", 0)) == int(label.removeprefix("sst-")) / 100
    for name, part in made.methods.items():
        assert part.settings["data.masked"] == f"{made.output}/masks/{name.removeprefix('words-')}"


def test_the_script_finds_the_command_of_a_run_that_only_the_ledger_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It trains the model of such a run by the line that `--dry-run` prints."""
    monkeypatch.setenv("UNIREX_DATA", "/data")
    path = str(ROOT / "recipes" / "suites" / "evidence-roar.yaml")
    assert suite.main([path, "--only", "sst-0", "words-slm-fp-led", "--dry-run"]) == 0
    (command,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  python -m unirex.train ")]
    assert "grep '^  python -m unirex.train '" in (ROOT / "recipes" / "roar.sh").read_text(encoding="utf-8")
    assert "--output=runs/roar/runs/sst-0/words-slm-fp-led/0" in shlex.split(command)
