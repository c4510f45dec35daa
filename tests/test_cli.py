"""The command `unirex`: every subcommand is reached, help is quick, mistakes are one line, several processes start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_package import loaded_by
from unirex import cli
from unirex.config import environment, inventory, processes
from unirex.config.recipes import PACKAGED
from unirex.methods import FACTS

UNIREX = Path(sys.executable).with_name("unirex")


def test_help_names_every_command_and_the_installed_one_shows_it() -> None:
    shown = subprocess.run([UNIREX, "--help"], check=True, capture_output=True, text=True).stdout
    for name, command in cli.COMMANDS.items():
        assert f"  {name.ljust(8)}  {command.about}\n" in shown
    assert shown.index("  train ") < shown.index("  evaluate ") < shown.index("  suite ")


@pytest.mark.parametrize(
    "command",
    ["--help", "--version", "ls recipes", "ls metrics", "ls methods", "score --help", "report --help", "suite --help",
     "train --help", "explain --help", "evaluate --help", "suite smoke --dry-run --output=x"],
)  # fmt: skip
def test_what_answers_at_once_loads_nothing_heavy(command: str) -> None:
    assert loaded_by(f"import unirex.cli as cli; sys.exit(cli.main({command.split()!r}))") == set()


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = cli.main([name, "--help"])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: unirex")
    assert name in shown


def test_arguments_and_exit_codes_pass_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden = Path(__file__).parent / "golden" / "v1" / "predictions.parquet"
    assert cli.main(["score", str(golden), "--replicates=0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]
    assert cli.main(["validate", str(golden)]) == 0
    assert cli.main(["score", str(tmp_path / "none.parquet")]) == 2
    assert "none.parquet: no such file" in capsys.readouterr().err
    assert cli.main(["report", str(tmp_path / "none")]) == 2
    assert cli.main(["suite", "smoke", "--dry-run", f"--output={tmp_path}"]) == 0
    assert "toy/slm-fp/0: to be run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "no command 'trian' (did you mean train?), expected one of train, explain, "),
        (["ls", "recipe"], "ls 'recipe', expected one of recipes, methods, metrics (did you mean recipes?)"),
        (["ls"], "ls '', expected one of recipes, methods, metrics"),
        (["ls", "recipes", "--include=nowhere"], "--include nowhere: no such folder"),
        (["env", "now"], "env takes no argument, found 'now'"),
        (["train", "--num-processes", "two"], "--num-processes is 'two', expected a whole number of at least 1"),
        (["train", "--num-processes=0"], "--num-processes is '0', expected a whole number of at least 1"),
        (["evaluate", "--num_machines"], "--num_machines has no value, expected one"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_has_gpu", lambda: True)
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert shown.err.startswith(f"unirex: error: {said}")


def test_no_command_shows_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert capsys.readouterr().out.startswith("usage: unirex COMMAND")


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [("torch", ["train", "--output=x"], "train"), ("transformers", ["explain", "--model=x", "--input=y.csv",
     "--output=z.csv"], "train"), ("jinja2", ["report", "RUN", "-o", "x.html"],
     "report")],
)  # fmt: skip
def test_a_missing_extra_is_named(package: str, arguments: list[str], extra: str, tmp_path: Path) -> None:
    golden = Path(__file__).parent / "golden" / "v1" / "predictions.parquet"
    words = [str(golden) if word == "RUN" else word for word in arguments]
    (tmp_path / "y.csv").write_text("text\na\n")
    code = f"import sys; sys.modules[{package!r}] = None; import unirex.cli as cli; sys.exit(cli.main({words!r}))"
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert f"pip install 'unirex-rationales[{extra}]'" in ran.stderr


def test_a_missing_package_of_no_extra_is_no_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "unirex.config.environment", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["env"])


def test_lists_hold_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.yaml").write_text("# A recipe of ours. And more.\nseed: 1\n")
    assert inventory.main(["recipes", "--include", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=1) == ["own/mine", "A recipe of ours"]
    assert len(lines) == 1 + len(list(PACKAGED.rglob("*.yaml")))
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines), "a recipe that says nothing about itself"
    assert inventory.main(["methods"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} >= set(FACTS)
    assert inventory.main(["metrics"]) == 0
    assert "comprehensiveness " in capsys.readouterr().out


def test_env_says_what_is_here_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = environment._version
    monkeypatch.setattr(environment, "_version", lambda name: None if name == "jinja2" else version(name))
    assert environment.main([]) == 0
    shown = capsys.readouterr().out
    assert "\nplain install present\n  jsonargparse " in shown
    assert "\nreport        missing jinja2: pip install 'unirex-rationales[report]'\n  matplotlib " in shown
    assert "\ndevices " in shown


def test_several_processes_go_through_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: run.append(command))
    monkeypatch.setattr(processes, "_has_gpu", lambda: True)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    launch = [sys.executable, "-m", "accelerate.commands.launch"]
    usual = ["--mixed_precision=no", "--dynamo_backend=no"]
    processes.launch("unirex.train", ["--num-processes", "4", "--config", "sst", "--seed=1"])
    assert run.pop() == [*launch, "--multi_gpu", "--num_processes=4", "--num_machines=1", *usual,
                         "--main_process_port=0", "-m", "unirex.train", "--config", "sst", "--seed=1"]  # fmt: skip
    assert "ACCELERATE_USE_CPU" not in os.environ
    nodes = [
        "--num_processes=8",
        "--num_machines=2",
        "--machine_rank=1",
        "--main_process_ip=a",
        "--main_process_port=9",
    ]
    processes.launch("unirex.train", [*nodes, "--seed=1"])
    assert run.pop() == [*launch, "--multi_gpu", *nodes, *usual, "-m", "unirex.train", "--seed=1"]
    processes.launch("unirex.train", ["--config_file=a.yaml", "--seed=1"])
    assert run.pop() == [*launch, "--config_file=a.yaml", "-m", "unirex.train", "--seed=1"]
    assert processes.launch("unirex.train", ["--seed=1", "--train.precision=bf16"]) == [
        "--seed=1", "--train.precision=bf16"
    ]  # fmt: skip
    assert not run


def test_one_process_on_the_cpu_needs_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "")
    assert processes.launch("unirex.train", ["--cpu", "--seed=1"]) == ["--seed=1"]
    assert os.environ["ACCELERATE_USE_CPU"] == "true"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--train.lr=abc"], "train.lr is abc, expected a number"),
        (["train", "--train.epochs="], "train.epochs is '', expected a whole number or null"),
        (["train", "--train.lr="], "train.lr is '', expected a number"),
        (["train", "--train.patience=2.5"], "train.patience is 2.5, expected a whole number or null"),
        (
            ["train", "--train.precision=fp8"],
            "train.precision is 'fp8', expected no or bf16 or fp16 or auto or null (",
        ),
        (["train", "--train.betas=[1]"], "train.betas is [1], expected a list of 2 values"),
        (["train", "--train.lr"], "--train.lr has no value, expected one"),
        (["train", "--data=x"], "data is 'x', expected settings as KEY.NAME=VALUE, or a YAML file of them"),
        (["train", "a"], "unknown argument 'a', expected options, which begin with --"),
        (["train", "--train.lrr=1"], "unknown configuration key 'train.lrr' (did you mean train.lr?)"),
        (["train", "--model.backbone=./nowhere"], "model.backbone is './nowhere', expected a folder that is there"),
        (["train", "--output={file}/x"], "output is '{file}/x', expected a folder: {file} is a file"),
        (["explain", "--text=a"], "--model missing, expected with a value"),
        (["explain", "--model=x"], "--input and --text: neither is given, expected one of them"),
        (["explain", "--model=x", "--text=a", "--steps=9"], "steps is 9, expected --attribution ig or gate_ig with it"),
        (["explain", "--model=./nowhere", "--text=a"], "model is './nowhere', expected a folder that is there"),
        (["score", "a", "--repl=3"], "unknown option --repl (did you mean --replicates?)"),
        (["score", "a", "--replicates=x"], "replicates is x, expected a whole number"),
    ],
)
def test_wrong_settings_are_told_in_our_words_without_torch(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "unirex.training.run", None)
    monkeypatch.setitem(sys.modules, "unirex.explainer", None)
    file = tmp_path / "file"
    file.touch()
    assert cli.main([argument.format(file=file) for argument in arguments]) == 2
    assert f"error: {said.format(file=file)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "arguments", "imported"),
    [
        ("unirex.cli", ["train", "--output=x"], "torch"),
        ("unirex.train", ["--output=x"], "jsonargparse"),
        ("unirex.suite", ["smoke"], "jsonargparse"),
        ("unirex.evaluate", ["--model=x"], "jsonargparse"),
        ("unirex.evaluate", ["--model=x"], "torch"),
        ("unirex.explain", ["--model=x", "--text=y"], "unirex.config.command_line"),
        ("unirex.explain", ["--model=x", "--text=y"], "torch"),
    ],
)
@pytest.mark.parametrize("where", ["in the import", "where Python only prints errors"])
def test_ctrl_c_during_imports_is_quiet(
    module: str, arguments: list[str], imported: str, where: str, tmp_path: Path
) -> None:
    code = f"""
import os, runpy, signal, sys, time
class Left:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {imported!r}:
            if {where!r} == "in the import":
                os.kill(os.getpid(), signal.SIGINT)
            Left()
            time.sleep(0.5)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupts())
sys.argv[1:] = {arguments!r}
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 130
    assert ran.stderr in ("", "stopped; nothing was written\n")
    assert ran.stdout == ""
