"""What a run's configuration refuses: one line with key, value found and value expected, before anything is read."""

import re
from pathlib import Path

import pytest

from unirex import evaluate, explain, suite, train
from unirex.config.run import RunConfig, build_parser, parse
from unirex.methods.l2e import L2eConfig
from unirex.metrics.commands import cli
from unirex.suites.plan import told_difference


def read(*arguments: str) -> RunConfig:
    return parse(list(arguments), prog="t", description="d")


def test_a_parser_is_made_once_and_keeps_nothing_of_what_it_parsed() -> None:
    before = read()
    read("--train.lr=0.5", "--eval.how=[delete]", "--data.hub.splits={train: a}", "--train.trackers=[tensorboard]")
    assert read() == before
    assert build_parser("joint", prog="t", description="d") is build_parser("joint", prog="t", description="d")


def test_a_section_given_whole_decides_as_its_keys_do() -> None:
    apart = read("--model.backbone=enc", "--method.name=fresh")
    for whole in (
        ["--model={backbone: enc}", "--method={name: fresh}"],
        ["--model", '{"backbone": "enc"}', "--method", "{name: fresh}"],
    ):
        assert read(*whole) == apart
    assert read("--model={backbone: enc}").train.lr < read().train.lr


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("model.backbone: enc", ["--model.backbone=enc"]),
        ("model.backbone: enc\nmethod.name: fresh", ["--model.backbone=enc", "--method.name=fresh"]),
        ("model.extractor: attribution", ["--model.extractor=attribution"]),
        ("preset: paper\nmodel.extractor: dual", ["--preset=paper", "--model.extractor=dual"]),
    ],
)
def test_a_dotted_key_of_a_file_decides_as_on_the_command_line(text: str, same: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert read(f"--config={tmp_path / 'a.yaml'}") == read(*same)


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"a.yaml: is empty, expected keys and values"):
        read(f"--config={tmp_path / 'a.yaml'}")


def test_a_later_file_may_take_a_backbone_back(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model: {backbone: enc}")
    (tmp_path / "b.yaml").write_text("model: {backbone: null}")
    assert read(f"--config={tmp_path / 'a.yaml'}", f"--config={tmp_path / 'b.yaml'}") == read()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--data.rename_labels={1: a}", "data.rename_labels has the key 1, expected text (in quotes)"),
        ("--data.rename_labels={no: a}", "data.rename_labels has the key False, expected text (in quotes)"),
        ("--train.weight_decay=-5", "train.weight_decay is -5.0, expected a finite number of at least 0"),
        ("--train.lr=0", "train.lr is 0.0, expected a finite number above 0"),
        ("--train.lr=.inf", "train.lr is inf, expected a finite number above 0"),
        ("--train.eps=-1", "train.eps is -1.0, expected a finite number above 0"),
        ("--train.betas=[0.9, 1]", "train.betas holds 1.0, expected 0 up to but not 1"),
        ("--train.clip=-1", "train.clip is -1.0, expected a finite number of at least 0"),
        ("--train.clip=.nan", "train.clip is nan, expected a finite number of at least 0"),
        ("--train.patience=-3", "train.patience is -3, expected at least 1"),
        ("--train.save_every=0", "train.save_every is 0, expected at least 1"),
        ("--train.dev_limit=0", "train.dev_limit is 0, expected at least 1"),
        ("--train.dev_limit=-1", "train.dev_limit is -1, expected at least 1"),
        ("--train.epochs=0", "train.epochs is 0, expected at least 1"),
        ("--train.max_tokens=0", "train.max_tokens is 0, expected at least 1"),
        ("--model.head_width=-4", "model.head_width is -4, expected at least 1"),
        ("--model.head_layers=0", "model.head_layers is 0, expected at least 1"),
        ("--model.max_length=7", "model.max_length is 7, expected at least 8"),
        ("--model.random.num_hidden_layers=0", "model.random.num_hidden_layers is 0, expected at least 1"),
        ("--model.random.hidden_size=-64", "model.random.hidden_size is -64, expected at least 1"),
        ("--model.random.vocabulary=0", "model.random.vocabulary is 0, expected at least 1"),
        ("--seed=-1", "seed is -1, expected 0 up to 4294967295"),
        ("--output=", "output is '', expected a folder"),
        ("--train.best_metric=comprehensivness", " (did you mean comprehensiveness?)"),
        ("--trained=runs/../runs/toy", "trained is 'runs/../runs/toy', expected another folder than output"),
        ("--train.dev_perturb=false", "'composite' with train.dev_perturb false, expected one of headline, "),
        ("--eval.how=[delete, attention]", "eval.how begins with delete, expected attention first where it is one"),
        ("--train.best_metric=csd[delete]", "train.best_metric is 'csd[delete]', expected one of headline, "),
        ("--method.class_weights=[1, 0]", "method.class_weights holds 0.0, expected finite numbers above 0"),
        ("--method.class_weights=[1, -2]", "method.class_weights holds -2.0, expected finite numbers above 0"),
        ("--method.suff_margin=5", "suff_margin is 5.0, which nothing reads with method.suff_criterion kl"),
        ("--method.comp_margin=7", "comp_margin is 7.0, which nothing reads with method.comp_criterion probability"),
        ("--method.detach_full=true", "detach_full is True, which nothing reads with method.comp_criterion"),
        ("--method.noise=0.5", "method.noise is 0.5, which nothing reads with method.estimator logistic"),
        ("--method.aimle_rate=0.1", "method.aimle_rate is 0.1, which nothing reads with method.estimator logistic"),
        ("--method.attribution=ig", "method.attribution is 'ig', which nothing reads with model.extractor shared"),
        ("--method.attribution_settings.ig_steps=9", "attribution_settings.ig_steps is 9, which nothing reads with"),
        ("--model.head_width=16", "model.head_width is 16, which nothing reads with model.head linear"),
        ("--train.learning_rate=1", "unknown configuration key 'train.learning_rate' (did you mean train.lr?)"),
        ("--learning_rate=1", "unknown configuration key 'learning_rate' (did you mean train.lr?)"),
        ("--train.epoch=2", "unknown configuration key 'train.epoch' (did you mean train.epochs?)"),
        ("--train.bat=2", "unknown configuration key 'train.bat' (did you mean train.batch_size?)"),
        ("--see=2", "unknown configuration key 'see' (did you mean seed?)"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(argument: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(argument)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data.rename_labels={'1': a, two: b}"],
        ["--train.best_metric=sufficiency"],
        ["--train.best_metric=f1:positive"],
        ["--train.best_metric=csd@0.05[delete]", "--eval.how=[attention, delete]"],
        ["--method.temperature=0.5", "--method.estimator=logistic"],
        ["--method.attribution=ig", "--model.extractor=none"],
        ["--method.name=l2e", "--method.attribution_settings.ig_steps=9"],
        ["--method.name=fresh", "--method.attribution=grad"],
        ["--model.head_width=16", "--model.head=mlp"],
        ["--preset=paper"],
        ["--preset=paper", "--method.name=l2e"],
        ["--train.patience=null", "--train.save_every=null"],
    ],
)
def test_what_makes_sense_is_taken(arguments: list[str]) -> None:
    read(*arguments)


@pytest.mark.parametrize(
    ("estimator", "read_by_it"),
    [
        ("logistic", {"temperature"}),
        ("gumbel", {"temperature", "noise"}),
        ("perturbed", {"noise", "samples"}),
        ("imle", {"noise", "samples", "imle_step"}),
        ("aimle", {"noise", "samples", "aimle_target", "aimle_rate"}),
    ],
)
def test_an_estimator_takes_the_settings_that_it_reads_and_no_others(estimator: str, read_by_it: set[str]) -> None:
    for name in ("temperature", "noise", "samples", "imle_step", "aimle_target", "aimle_rate"):
        arguments = [f"--method.estimator={estimator}", f"--method.{name}=2"]
        if name in read_by_it:
            read(*arguments)
        else:
            with pytest.raises(
                ValueError, match=f"method.{name} is 2.*nothing reads with method.estimator {estimator}"
            ):
                read(*arguments)


@pytest.mark.parametrize("name", ["comp_weight", "suff_weight", "plaus_weight"])
def test_a_weight_without_an_extractor_would_train_nothing(name: str) -> None:
    read("--model.extractor=none", f"--method.{name}=0")
    with pytest.raises(ValueError, match=rf"method\.{name} is 2\.0, which nothing reads with model\.extractor none"):
        read("--model.extractor=none", f"--method.{name}=2")


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ("sgt comp_criterion=prior", "method.name sgt"),
        ("sgt comp_margin=3", "method.name sgt"),
        ("sgt detach_full=true", "method.name sgt"),
        ("a2r fraction=.3 fractions=[.1,.2]", "method.fractions"),
        ("l2e attribution=attention attribution_settings.ig_steps=9", "method.attribution attention"),
        ("fresh attribution=grad attribution_settings.surrogate_samples=9", "method.attribution grad"),
        ("sgt attribution=grad attribution_settings.ig_steps=9", "method.attribution grad"),
        ("joint comp_weight=0 comp_criterion=prior", "method.comp_weight 0"),
        ("joint suff_weight=0 suff_criterion=mse", "method.suff_weight 0"),
        ("joint plaus_weight=0 plaus_criterion=mse", "method.plaus_weight 0"),
        ("joint comp_weight=0 suff_weight=0 estimator=gumbel", "method.comp_weight and suff_weight 0"),
        ("joint comp_weight=0 suff_weight=0 fractions=[.1,.2]", "method.comp_weight and suff_weight 0"),
        ("joint comp_weight=0 suff_weight=0 estimator=hard how=delete", "method.comp_weight and suff_weight 0"),
        ("sgt plaus_criterion=mse", "method.plaus_weight 0"),
        ("fresh plaus_criterion=mse", "method.plaus_weight 0"),
        ("mcd plaus_criterion=mse", "method.plaus_weight 0"),
        ("rtp plaus_criterion=mse", "method.plaus_weight 0"),
        ("a2r gap_weight=0 gap_criterion=jensen_shannon_reversed", "method.gap_weight 0"),
    ],
)
def test_settings_that_a_method_does_not_read(settings: str, cause: str) -> None:
    name, *given = settings.split()
    with pytest.raises(ValueError, match=f"which nothing reads with {re.escape(cause)}; expected it left out"):
        read(f"--method.name={name}", *(f"--method.{one}" for one in given))


@pytest.mark.parametrize(
    "setting",
    ["fractions=[.1]", "fractions_per_step=1", "how=delete", "comp_criterion=prior", "suff_criterion=kl",
     "detach_full=true", "plaus_criterion=ranking", "estimator=gumbel"],
)  # fmt: skip
def test_nothing_of_the_losses_is_read_without_an_extractor(setting: str) -> None:
    with pytest.raises(ValueError, match=r"which nothing reads with model\.extractor none; expected it left out$"):
        read("--model.extractor=none", f"--method.{setting}")
    if setting.startswith("how"):  # of the words that are hidden by chance
        assert read("--model.extractor=none", f"--method.{setting}", "--method.mask_weight=1").method.how == "delete"


def test_what_a_recipe_takes_back_to_the_default_counts_as_left_out() -> None:
    assert (
        read("--config=slm-p", "--method.estimator=hard", "--method.comp_criterion=margin").method.estimator == "hard"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train:\n  # lr: 0.1\n", "train is null, expected settings in it, or the key left out"),
        ("train: 3\n", "train is 3, expected settings in it, or the key left out"),
        ("data: {hub: }\n", "data.hub is null, expected settings in it, or the key left out"),
        ("train.lr: 0.1\ntrain: {epochs: 4}\n", "train.lr stands beside train, expected all of that section in one"),
        ("train: {epochs: 4}\ntrain.lr: 0.1\n", "train.lr stands beside train, expected all of that section in one"),
        ("data: {toy.kind: pair, toy: {n_test: 9}}\n", "data.toy.kind stands beside data.toy, expected all of that"),
    ],
)
def test_a_section_of_a_file_is_one_and_not_empty(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "before.yaml").write_text("train: {lr: 0.5}\n")
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/run.yaml: {said}")):
        read(f"--config={tmp_path / 'before.yaml'}", f"--config={tmp_path / 'run.yaml'}", "--train.batch_size=8")


def test_names_of_classes_are_no_sections(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("data: {rename_labels: {a: x, a.b: y, train: z, hub: null}}\n")
    with pytest.raises(ValueError, match=r"^data\.rename_labels"):  # of the null, and nothing else
        read(f"--config={tmp_path / 'run.yaml'}")
    (tmp_path / "run.yaml").write_text("data: {rename_labels: {a: x, a.b: y, train: z}}\n")
    assert read(f"--config={tmp_path / 'run.yaml'}").data.rename_labels == {"a": "x", "a.b": "y", "train": "z"}


@pytest.mark.parametrize("arguments", [["--config"], ["--config="], ["--config", ""], ["--config", "--seed=1"]])
def test_a_config_without_a_name_is_one_line(arguments: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^--config has no value, expected a file or the name of a recipe$"):
        read(*arguments)


def test_no_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("train:\n  precision: no\n")
    with pytest.raises(ValueError, match=r"train\.precision is .False., expected no in quotes or bf16 or fp16 or auto"):
        read(f"--config={tmp_path / 'run.yaml'}")


def test_a_rationale_head_leaves_the_attribution_of_fresh_unread() -> None:
    with pytest.raises(
        ValueError, match=r"method\.attribution is 'grad', which nothing reads with method.plaus_weight"
    ):
        read("--method.name=fresh", "--method.plaus_weight=1", "--method.attribution=grad")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train:\n  lr: 1\nseed: 1\ntrain:\n  epochs: 2\n", "line 4: key 'train' again, expected it once (line 1)"),
        ("train:\n  lr: 1\n  epochs: 2\n  lr: 3\n", "line 4: key 'lr' again, expected it once (line 2)"),
        ("train: {lr: 1,\n 'lr': 2}\n", "line 2: key 'lr' again, expected it once (line 1)"),
    ],
)
def test_equal_keys_of_a_file_are_refused(text: str, message: str, tmp_path: Path) -> None:
    """The first of them would be dropped."""
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"{file}: not YAML: {message}")):
        read(f"--config={file}")


def test_a_merged_mapping_may_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: &m\n  dropout: 0.2\n  head: mlp\ntrain: {lr: 0.5}\n")
    assert read(f"--config={file}").model.dropout == 0.2


@pytest.mark.parametrize(("weights", "found"), [("[1]", "1 numbers"), ("[1, 2, 3]", "3 numbers")])
def test_class_weights_of_another_number_than_classes(
    weights: str, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = ["--data.toy.n_train=8", "--data.toy.n_val=4", "--data.toy.n_test=4"]
    assert train.main([*toy, f"--method.class_weights={weights}", f"--output={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err.strip()
    assert error == f"error: method.class_weights holds {found}, expected 2: negative, positive"


def test_a_best_metric_of_a_class_that_is_not_in_the_data_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = ["--data.toy.n_train=12", "--data.toy.n_val=4", "--data.toy.n_test=4", f"--output={tmp_path / 'run'}"]
    assert train.main([*toy, "--train.best_metric=f1:positve"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error == (
        "error: train.best_metric is 'f1:positve', expected one of these classes in it: negative, positive"
    )
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_class_weights_against_labels_that_are_given() -> None:
    with pytest.raises(ValueError, match=r"method.class_weights holds 2 numbers, expected 3: a, b, c"):
        read("--data.labels=[a, b, c]", "--method.class_weights=[1, 2]")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (evaluate.main, ["--model=x", "--outp=y"]),
        (evaluate.main, ["--model=x", "--output="]),
        (explain.main, ["--model=x", "--input=a.jsonl", "--outp=b.jsonl"]),
        (suite.main, ["x.yaml", "--job=2"]),
        (cli.main, ["score", "x.parquet", "--replicate=2"]),
    ],
)
def test_every_command_wants_whole_names(
    command: object, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(arguments) == 2  # type: ignore[operator]
    error = capsys.readouterr().err
    assert any(word in error for word in ("nknown", "nrecognized", "output is ''")), error


def test_a_setting_is_read_under_its_old_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("seed: 3\nmethod: {name: l2e, explainer: {ig_steps: 7}}\n")
    for arguments in (
        [f"--config={file}"],
        ["--config", str(file)],
        ["--method.name=l2e", "--method.explainer.ig_steps=7"],
    ):
        config = read(*arguments)
        assert isinstance(config.method, L2eConfig)
        assert config.method.attribution_settings.ig_steps == 7
    assert read(f"--config={file}").seed == 3
    assert capsys.readouterr().err.count("setting method.explainer is called method.attribution_settings now") <= 1


def test_configurations_are_compared_but_for_their_folder() -> None:
    stored = {"output": "a", "resume": True, "train": {"epochs": 1}, "seed": 0}
    assert told_difference(stored, {**stored, "output": "b", "resume": False}) is None
    assert told_difference(stored, {**stored, "train": {"epochs": 2}}) == "train.epochs is 1 there, 2 here"
