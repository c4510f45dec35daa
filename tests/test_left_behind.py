"""What an earlier judgment, run or ledger has left is not taken for the result of a later one."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from reference.processes import fork_runs
from unirex import evaluate, suite, train
from unirex.disk import checkpoint
from unirex.disk.atomic import remove
from unirex.suites.ledger import Ledger
from unirex.training import run as training_run

ROOT = Path(__file__).parents[1]
TINY = [
    "--data.toy.n_train=24", "--data.toy.n_val=8", "--data.toy.n_test=6", "--model.random.hidden_size=16",
    "--train.epochs=1", "--train.batch_size=8",
]  # fmt: skip
TOY = {"data.toy.n_train": 24, "data.toy.n_val": 8, "data.toy.n_test": 0, "model.random.hidden_size": 16}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "plain"
    assert train.main([*TINY, f"--output={folder}"]) == 0
    return folder


def test_controls_of_an_earlier_judgment_are_gone(run: Path, tmp_path: Path) -> None:
    words = [f"--model={run}", *TINY[:3], f"--output={tmp_path / 'ev'}"]
    assert evaluate.main(words) == 0
    assert {file.stem for file in (tmp_path / "ev" / "reference").iterdir()} == {"random", "gold", "inverse"}
    assert evaluate.main([*words, "--eval.references=[random]"]) == 0
    assert {file.stem for file in (tmp_path / "ev" / "reference").iterdir()} == {"random"}


def test_a_resumption_that_judges_another_split_begins_without_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*TINY, f"--output={tmp_path / 'run'}", "--eval.references=[]"]
    assert train.main(words) == 0

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "_finish", stopped)
    assert train.main([*words, "--resume=true"]) != 0
    assert (tmp_path / "run" / "metrics.json").exists(), "the same settings: the results are those of them"
    assert train.main([*words, "--resume=true", "--eval.split=val"]) != 0
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["eval"]["split"] == "val"
    assert not [name for name in ("metrics.json", "predictions.parquet") if (tmp_path / "run" / name).exists()]


def test_a_model_of_other_rows_is_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write(label: str) -> None:
        rows = [f"a film of number {n},{label if n % 2 else 'neg'}" for n in range(40)]
        (tmp_path / "films.csv").write_text("\n".join(["text,label", *rows]))

    words = [*TINY[3:], "--data.source=hub", f"--data.path={tmp_path / 'films.csv'}", "--train.best_metric=headline"]
    write("pos")
    assert train.main([*words, f"--output={tmp_path / 'a'}"]) == 0
    assert train.main([*words, f"--output={tmp_path / 'b'}", f"--trained={tmp_path / 'a'}"]) == 0
    write("poz")
    capsys.readouterr()
    assert train.main([*words, f"--output={tmp_path / 'c'}", f"--trained={tmp_path / 'a'}"]) == 2
    assert f"--trained {tmp_path / 'a'}: its training or dev rows differ, expected" in capsys.readouterr().err


def test_a_borrowed_model_of_several_stages_is_that_of_the_last(tmp_path: Path) -> None:
    words = [*TINY, "--method.name=fresh", "--model.extractor=support", "--eval.references=[]"]
    assert train.main([*words, f"--output={tmp_path / 'a'}"]) == 0
    assert train.main([*words, f"--output={tmp_path / 'b'}", f"--trained={tmp_path / 'a'}"]) == 0
    own, borrowed = (json.loads((tmp_path / run / "model" / "config.json").read_text())["run"] for run in "ab")
    assert own["stage"] == borrowed["stage"] == "predictor"


def moved(folder: Path, place: Path) -> None:
    """Moves a folder elsewhere, and leaves a link to it."""
    folder.rename(place)
    folder.symlink_to(place)


def test_checkpoints_behind_a_link_are_not_those_of_another_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, scratch = shutil.copytree(run, tmp_path / "run"), tmp_path / "scratch"
    moved(own / "checkpoints", scratch)
    kept = sorted(scratch.iterdir())
    assert kept
    words = [*TINY, f"--output={own}", "--seed=7", "--train.lr=0.05"]

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training_run, "_fit_stage", stopped)
        assert train.main([*words, "--overwrite=true"]) != 0
    assert sorted(scratch.iterdir()) == kept, "what a link leads to is not the run's"
    assert train.main([*words, "--resume=true"]) == 0
    assert train.main([*words[:-3], "--seed=7", "--train.lr=0.05", f"--output={tmp_path / 'other'}"]) == 0
    weights = [(place / "model" / "model.safetensors").read_bytes() for place in (own, tmp_path / "other")]
    assert weights[0] == weights[1]


def test_a_model_behind_a_link_is_replaced(run: Path, tmp_path: Path) -> None:
    own = shutil.copytree(run, tmp_path / "run")
    moved(own / "model", tmp_path / "model")
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    for seed in (1, 2):
        with checkpoint.atomic_folder(own / "model") as folder:
            (folder / "seed").write_text(str(seed))
    assert [path.name for path in (own / "model").iterdir()] == ["seed"]
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    checkpoint.recover(own)
    assert not [path.name for path in own.glob(".model*")]


def test_what_is_put_back_or_removed_is_a_runs_own(tmp_path: Path) -> None:
    (tmp_path / ".notes.old").write_text("mine")
    for name in ("model", "checkpoints"):
        (tmp_path / name).symlink_to(tmp_path / "gone")
    checkpoint.recover(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".notes.old"]


def test_two_processes_may_remove_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for _ in range(5):
        for number in range(300):
            (folder / str(number)).mkdir(parents=True)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(remove, [folder, folder]))
        assert not folder.exists()


@pytest.mark.parametrize("damage", ["tokenizer.json", "tokenizer_config.json"])
def test_a_resumption_has_the_tokenizer_of_its_run(run: Path, tmp_path: Path, damage: str) -> None:
    own = shutil.copytree(run, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (own / "model").iterdir()}
    for content in (b"", before[damage][:-20], None):
        if content is None:
            (own / "model" / damage).unlink()
        else:
            (own / "model" / damage).write_bytes(content)
        assert train.main([*TINY, f"--output={own}", "--resume=true"]) == 0
        assert {path.name: path.read_bytes() for path in (own / "model").iterdir()} == before


def test_a_ledger_says_which_rows_were_judged_and_how_they_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fork_runs(monkeypatch)
    toy = str(ROOT / "recipes" / "data" / "toy.yaml")

    def written(name: str, groups: str | None = None) -> list[str]:
        content = {
            "output": str(tmp_path / "out"),
            "ledger": f"{name}.jsonl",
            "base": str(ROOT / "recipes" / "backbones" / "tiny.yaml"),
            "data": {"toy": {"config": toy, **({} if groups is None else {"groups": groups})}},
            "methods": {"slm-p": str(ROOT / "recipes" / "methods" / "slm-p.yaml")},
            "set": {**TOY, "train.epochs": 1, "train.batch_size": 8, "train.precision": "no", "eval.references": []},
            "table": {"replicates": 20},
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return [str(tmp_path / f"{name}.yaml")]

    assert suite.main(written("one")) == 0
    (entry,) = Ledger(path=tmp_path / "one.jsonl").entries()
    assert (entry.split, entry.rows) == ("val", 8), "the toy corpus has no test rows here"
    assert "intervals: of dev rows" in (tmp_path / "out" / "one.md").read_text()
    warnings = json.loads((tmp_path / "out" / "runs" / "toy" / "slm-p" / "0" / "warnings.json").read_text())
    assert any("no test split, so the rows are judged that picked the epoch" in warning for warning in warnings)
    capsys.readouterr()
    assert suite.main(written("one", "[a-z]+_[a-z]+_.")) == 2
    assert "rows are grouped by None, expected '[a-z]+_[a-z]+_.' as in" in capsys.readouterr().err
    rows = sorted((tmp_path / "rows").iterdir())
    before = [path.read_bytes() for path in rows]
    assert suite.main(written("two", "[a-z]+_[a-z]+_.")) != 0
    assert "groups is None, expected '[a-z]+_[a-z]+_.', or a ledger in another" in capsys.readouterr().err
    assert rows == sorted((tmp_path / "rows").iterdir())
    assert before == [path.read_bytes() for path in rows]
