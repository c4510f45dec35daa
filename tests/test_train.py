"""Whole runs on the toy corpus: resumed, on two processes, and with bad input."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator

from reference.processes import end, start, start_two, train_unheard
from unirex import evaluate, train
from unirex.data import tables
from unirex.disk.predictions import PREDICTIONS_KEY
from unirex.disk.run_folder import RunFolder
from unirex.metrics.commands import cli as metrics_cli
from unirex.modeling import UnirexModel
from unirex.training import assemble
from unirex.training import loop as training
from unirex.training import run as training_run

TINY = [
    "--data.toy.n_train=72", "--data.toy.n_val=21", "--data.toy.n_test=17", "--model.dropout=0",
    "--model.backbone_dropout=0", "--model.random.hidden_size=32", "--train.lr=0.001", "--train.batch_size=24",
    "--train.log_every=1", "--train.epochs=2", "--model.random.num_hidden_layers=1",
    "--model.random.num_attention_heads=2", "--model.random.intermediate_size=32",
]  # fmt: skip


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def losses(run: Path) -> list[float]:
    return [entry["loss"] for entry in records(run) if "loss" in entry]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "plain"
    assert train.main([*TINY, f"--output={run}"]) == 0
    return run


def test_a_run_leaves_model_predictions_controls_and_metrics(plain: Path) -> None:
    table = pq.read_table(plain / "predictions.parquet")
    assert table.num_rows == 17
    assert len(set(table["id"].to_pylist())) == 17
    assert {p.name for p in (plain / "reference").iterdir()} == {"random.parquet", "gold.parquet", "inverse.parquet"}
    assert len(json.loads((plain / "metrics.json").read_text())["systems"]) == 4
    assert len(losses(plain)) == 6


def test_an_interrupted_run_goes_on_to_the_same_losses(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "cut"
    step = training.Training._step

    def stop_at_four(self: training.Training, index: Any) -> Any:
        terms, _ = step(self, index)
        return terms, self.progress.step == 3

    monkeypatch.setattr(training.Training, "_step", stop_at_four)
    assert train.main([*TINY, f"--output={run}"]) == 130
    assert "--resume true" in capsys.readouterr().err
    monkeypatch.undo()
    assert train.main([*TINY, f"--output={run}", "--resume=true"]) == 0
    assert losses(run) == losses(plain)
    assert (run / "predictions.parquet").exists()


def test_two_processes_agree_with_one(plain: Path, tmp_path: Path) -> None:
    run, output = tmp_path / "two", tmp_path / "output"
    processes = start_two(train.main, [*TINY, f"--output={run}"], output=output, env={"ACCELERATE_USE_CPU": "true"})
    assert end(*processes) == [0, 0], output.read_text()[-2000:]
    assert losses(run) == pytest.approx(losses(plain), rel=1e-5)
    assert "2 processes" in output.read_text()
    one, two = (json.loads((folder / "metrics.json").read_text())["systems"] for folder in (plain, run))
    for a, b in zip(one, two, strict=True):
        assert a["rows"] == b["rows"]
        for x, y in zip(a["metrics"], b["metrics"], strict=True):
            assert x["name"] == y["name"]
            if x["name"].startswith("normalised"):
                continue  # quotients of two differences that a model trained for six steps has at rounding level
            assert x["value"] == (None if y["value"] is None else pytest.approx(y["value"], abs=1e-6))


def test_a_saved_model_is_judged_with_scores_from_a_file(plain: Path, tmp_path: Path) -> None:
    toy = [argument for argument in TINY if argument.startswith("--data")]
    model, scores = f"--model={plain / 'model'}", f"--scores={plain / 'predictions.parquet'}"
    assert evaluate.main([model, *toy, f"--output={tmp_path / 'own'}"]) == 0
    assert evaluate.main([model, scores, *toy, f"--output={tmp_path / 'file'}"]) == 0
    own, given = (pq.read_table(tmp_path / name / "predictions.parquet") for name in ("own", "file"))
    trained = pq.read_table(plain / "predictions.parquet")
    assert own["prediction"].equals(trained["prediction"])
    assert given["scores"].to_pylist() == trained["scores"].to_pylist()
    units = [json.loads(table.schema.metadata[PREDICTIONS_KEY])["unit"] for table in (own, given)]
    assert units == ["token", "word"]


def test_the_best_epoch_of_each_stage_is_saved_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, kept = tmp_path / "run", {}

    def judge(made: training_run.Run, method: Any, _: Any, epoch: int) -> dict[str, float]:
        stage = "support" if made.folder.path.name == "support" else "predictor"
        kept[stage, epoch] = {name: weight.clone() for name, weight in method.model.state_dict().items()}
        return {"best": (0.75, 0.5, 0.75)[epoch - 1]}

    monkeypatch.setattr(training_run, "_on_dev", judge)
    toy = ["--data.toy.n_train=24", "--data.toy.n_val=3", "--data.toy.n_test=9"]
    small = [*TINY, *toy, "--model.random.hidden_size=16", "--model.random.num_attention_heads=2", "--train.epochs=3"]
    more = ["--method.name=fresh", "--train.lr=0.01", "--train.patience=null", "--eval.references=[]"]
    assert train.main([*small, *more, f"--output={run}"]) == 0
    assert list(kept) == [(stage, epoch) for stage in ("support", "predictor") for epoch in (1, 2, 3)]
    saved = UnirexModel.from_pretrained(run / "model").state_dict()
    for stage in ("support", "predictor"):
        names = [name for name in saved if name.startswith("extractor") == (stage == "support")]
        assert all(torch.equal(saved[name], kept[stage, 1][name]) for name in names)
        assert not any(all(torch.equal(saved[name], kept[stage, epoch][name]) for name in names) for epoch in (2, 3))
    asked = [f"--model={run / 'model'}", *toy, "--eval.references=[]", f"--output={tmp_path / 'own'}"]
    assert evaluate.main(asked) == 0
    judged, own = (pq.read_table(folder / "predictions.parquet") for folder in (run, tmp_path / "own"))
    assert judged.drop_columns(["model"]).equals(own.drop_columns(["model"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train.epcohs=3"], "train.epochs"),
        (["--method.fractions=[0, 0.5]"], "method.fractions holds 0.0, expected more than 0 and at most 1"),
        (["--method.fractions=[1.01]"], "method.fractions holds 1.01, expected more than 0 and at most 1"),
        (["--config=missing.yaml"], "missing.yaml: no such file"),
        (["--data.source=eraser", "--data.path=/nowhere"], "/nowhere"),
        (["--data.source=eraser", "--data.path=$NOT_SET/sst"], "the environment variable NOT_SET is not set"),
        (["--data.source=eraser", "--data.path=~nobody9/x"], "the home folder of ~nobody9 is not known"),
        (["--method.name=jiont"], "did you mean joint?"),
        (["--train.precision=fp8"], "fp8"),
        (["--method.estimator=entmax"], "method.estimator is 'entmax', expected one of hard, logistic, laplace,"),
        (["--method.estimator=entmax"], "(entmax is now capped_simplex)"),
        (["--method.estimator=logistik"], "(did you mean logistic?)"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*arguments, f"--output={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "run" / "predictions.parquet").exists()


def test_a_folder_that_holds_a_run_is_not_overwritten(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (plain / "log.jsonl").read_text()
    assert train.main([*TINY, f"--output={plain}"]) == 2
    assert "holds a run, expected a new folder" in capsys.readouterr().err
    assert (plain / "log.jsonl").read_text() == before


def test_a_start_that_failed_leaves_a_folder_to_use_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    for backbone in ("nowhere", "elsewhere"):
        assert train.main([*TINY, f"--model.backbone={backbone}", f"--output={run}"]) == 2
        assert backbone in capsys.readouterr().err.splitlines()[-1]
    assert (run / "config.yaml").exists()
    assert not RunFolder(run).begun()


@pytest.mark.parametrize("main", [train.main, evaluate.main])
def test_processes_that_do_not_know_of_each_other_are_refused(
    main: Any, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    model = [f"--model={plain / 'model'}"] if main is evaluate.main else []
    assert main([*model, f"--output={tmp_path / 'run'}"]) == 2
    assert "WORLD_SIZE is 2, expected 1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_check_models_are_asked_about_the_same_rationales(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = [argument for argument in TINY if argument.startswith("--data")]
    other = tmp_path / "other"
    masked = ["--model.extractor=none", "--method.mask_weight=1", "--method.comp_weight=0", "--method.suff_weight=0"]
    assert train.main([*TINY, *masked, "--train.epochs=1", f"--output={other}"]) == 0
    judged = [f"--model={plain / 'model'}", *toy, f"--output={tmp_path / 'out'}"]
    checks = f"--checks={{own: {plain / 'model'}, masked: {other / 'model'}}}"
    assert evaluate.main([*judged, checks]) == 0
    table = pq.read_table(tmp_path / "out" / "predictions.parquet")
    assert table["full.own"].to_pylist() == table["probabilities"].to_pylist()
    for kind in ("keep", "remove", "null"):
        own = table[f"{kind}.attention.own"].to_pylist()
        assert own == table[f"{kind}.attention.self"].to_pylist()
        assert table[f"{kind}.attention.masked"].to_pylist() != own
    capsys.readouterr()
    assert metrics_cli.main(["score", str(tmp_path / "out" / "predictions.parquet"), "--scorer", "masked"]) == 0
    assert "comprehensiveness" in capsys.readouterr().out
    assert evaluate.main([*judged, f"--checks={{self: {plain / 'model'}}}"]) == 2
    assert "checks has the name 'self'" in capsys.readouterr().err
    short = tmp_path / "short"
    assert train.main([*TINY, *masked, "--train.epochs=1", "--model.max_length=8", f"--output={short}"]) == 0
    assert evaluate.main([*judged, f"--checks={{short: {short / 'model'}}}"]) == 2
    assert "its rows have at most 16 tokens, expected " in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_told_before_anything_is_judged(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for output in ("file", "file/deeper/out"):
        assert evaluate.main([f"--model={plain / 'model'}", f"--output={tmp_path / output}"]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        expected = f"expected a folder that can be written ({tmp_path / 'file'} is a file)"
        assert shown.err.strip() == f"error: output is {tmp_path / output}, {expected}"


@pytest.mark.parametrize("estimator", ["logistic", "aimle"])
def test_faithfulness_alone_trains_an_extractor_through_the_selection(
    estimator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, first, make = tmp_path / "run", {}, assemble.make_model

    def keep(*arguments: Any) -> UnirexModel:
        model = make(*arguments)
        first.update({name: weight.detach().clone() for name, weight in model.named_parameters()})
        return model

    monkeypatch.setattr(assemble, "make_model", keep)
    method = [f"--method.estimator={estimator}", "--method.plaus_weight=0", "--method.suff_criterion=kl"]
    assert train.main([*TINY, *method, "--train.epochs=1", f"--output={run}"]) == 0
    assert len(json.loads((run / "metrics.json").read_text())["systems"]) == 4
    last = dict(UnirexModel.from_pretrained(run / "model").named_parameters())
    (head,) = (name for name in first if name.startswith("extractor.") and name.endswith("weight"))
    # AdamW moves a weight by nearly the learning rate whatever its gradient, and by decay alone a hundredth of that.
    assert (last[head] - first[head]).abs().max() > 1e-3


@pytest.mark.parametrize(("chosen", "judged"), [("composite", ["attention"]), ("csd[delete]", ["attention", "delete"])])
def test_epochs_are_judged_by_the_perturbations_that_choose_among_them(
    chosen: str, judged: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[str]] = {}
    judge = training_run.judge

    def watch(*arguments: Any, **settings: Any) -> Any:
        seen[settings["title"]] = list(arguments[3].config.how)
        return judge(*arguments, **settings)

    monkeypatch.setattr(training_run, "judge", watch)
    settings = ["--eval.how=[attention, delete, mask_token]", f"--train.best_metric={chosen}"]
    assert train.main([*TINY, *settings, f"--output={tmp_path / 'run'}"]) == 0
    assert (seen.pop("dev 1"), seen.pop("dev 2")) == (judged, judged)
    assert list(seen.values()) == [["attention", "delete", "mask_token"]]


def test_without_gold_the_composite_is_of_task_and_faithfulness(tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = ["--data.toy.without_gold=1", "--method.plaus_weight=0", "--method.estimator=logistic"]
    assert train.main([*TINY, *settings, "--train.best_metric=composite", f"--output={run}"]) == 0
    dev = next(entry for entry in records(run) if entry.get("event") == "dev")
    assert dev["best"] == pytest.approx((dev["headline"] + dev["csd"]) / 2)


def films(path: Path, rows: int, *, spoilt: bool = False) -> None:
    """A table of films; the labels of some rows turned over."""
    lines = ["text,label"]
    for number in range(rows):
        good = (number % 2 == 0) != (spoilt and number < 4)
        lines.append(f"the film number {number} was {'great' if good else 'awful'},{'pos' if good else 'neg'}")
    path.write_text("\n".join(lines) + "\n")


def on_films(path: Path) -> list[str]:
    """A run on one file whose parts are the splits."""
    parts = "{train: 'train[:60%]', val: 'train[60%:80%]', test: 'train[80%:]'}"
    small = [argument for argument in TINY if not argument.startswith("--data")]
    return [*small, "--data.source=hub", f"--data.path={path}", f"--data.hub.splits={parts}", "--method.plaus_weight=0",
            "--method.estimator=logistic", "--eval.references=[random]"]  # fmt: skip


def test_a_table_is_counted_once_and_its_replacement_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, run, counted = tmp_path / "films.csv", tmp_path / "run", []
    films(table, 40)
    count = tables._count
    monkeypatch.setattr(tables, "_count", lambda path: counted.append(path) or count(path))  # type: ignore[func-returns-value]
    arguments = [*on_films(table), f"--output={run}"]
    assert train.main(arguments) == 0
    assert counted == [table]
    assert (run / "metrics.json").exists()

    films(table, 40, spoilt=True)
    assert train.main([*arguments, "--resume=true"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"--resume: the train split of {table} has digest " in error
    assert ", expected " in error
    films(table, 40)
    assert train.main([*arguments, "--resume=true"]) == 0
    assert counted == [table] * 3


def test_metrics_are_written_where_nobody_reads_what_is_printed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    # `2>&1 | head -1`, after its line
    process = start(train_unheard, [*TINY, "--train.epochs=1", f"--output={run}"], output=tmp_path / "before")
    assert end(process) == [0]
    assert len(json.loads((run / "metrics.json").read_text())["systems"]) == 4


def test_a_line_of_the_log_holds_the_mean_of_its_steps_across_a_resumption(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    arguments = [*TINY, "--train.log_every=4", f"--output={run}"]
    step = training.Training._step

    def stop_at_three(self: training.Training, index: Any) -> Any:
        terms, _ = step(self, index)
        return terms, self.progress.step == 2

    monkeypatch.setattr(training.Training, "_step", stop_at_three)
    assert train.main(arguments) == 130
    monkeypatch.undo()
    assert train.main([*arguments, "--resume=true"]) == 0
    every = {entry["step"]: entry for entry in records(plain) if "loss" in entry}
    lines = [entry for entry in records(run) if "loss" in entry]
    assert [(line["step"], line["steps"]) for line in lines] == [(1, 1), (4, 3), (6, 2)]
    for line in lines:
        covered = [every[number] for number in range(line["step"] - line["steps"] + 1, line["step"] + 1)]
        for name in ("loss", "task", "grad_norm"):
            assert line[name] == pytest.approx(sum(entry[name] for entry in covered) / len(covered), rel=1e-9)


def test_the_gradients_norm_and_the_test_metrics_reach_the_trackers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, float] = {}
    monkeypatch.setattr(Accelerator, "log", lambda _, values, step: seen.update(values))
    run = tmp_path / "run"
    assert train.main([*TINY, "--train.epochs=1", f"--output={run}"]) == 0
    assert seen["grad_norm"] > 0
    systems = json.loads((run / "metrics.json").read_text())["systems"]
    accuracy = next(m["value"] for m in systems[0]["metrics"] if m["name"] == "accuracy")
    assert seen["test/accuracy"] == accuracy


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("config.json", Path.unlink),
        ("config.json", _cut),
        ("model.safetensors", Path.unlink),
        ("model.safetensors", _cut),
    ],
)
def test_a_damaged_model_is_named_when_the_run_goes_on(
    name: str, damage: Any, plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(plain, run)
    damage(run / "model" / name)
    assert train.main([*TINY, f"--output={run}", "--resume=true"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: {run / 'model' / name}: ")
    assert "--overwrite true to start again" in error
    assert "huggingface.co" not in error


def test_a_damaged_newest_checkpoint_costs_the_steps_since_the_one_before_it(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(plain, run)
    damaged = run / "checkpoints" / "step-00000006" / "weights.safetensors"
    _cut(damaged)
    assert train.main([*TINY, f"--output={run}", "--resume=true"]) == 0
    error = capsys.readouterr().err
    assert f"warning: {damaged}: " in error
    assert f"going on from {run / 'checkpoints' / 'step-00000003'} instead" in error
    assert losses(run) == losses(plain)


def test_no_memory_for_the_judging_is_one_line_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_run, "judge", lambda *_, **__: torch.empty(2**55))
    assert train.main([*TINY, "--train.epochs=1", f"--output={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: no memory: ")
    assert "eval.max_tokens" in error
