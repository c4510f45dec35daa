"""A method of another installed package (tests/packages/unirex_hardkuma) is trained, resumed and used like our own."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file
from scipy.stats import beta

from reference.checkpoints import latest
from reference.packages import PACKAGES, install
from reference.processes import end, start, start_two, train_with
from unirex import evaluate, suite, train
from unirex.explainer import Explainer
from unirex.report import build
from unirex.suites.plan import make_plan
from unirex.suites.recipe import read_suite

SMALL = {
    "data": {"toy": {"n_train": 80, "n_val": 10, "n_test": 8}},
    "model": {
        "dropout": 0.0,
        "backbone_dropout": 0.0,
        "random": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    },
    "train": {"lr": 0.003, "batch_size": 10, "epochs": 3, "log_every": 1, "precision": "no"},
    "eval": {"references": ["random"]},
}
TARGET = 0.3
CPU = {"ACCELERATE_USE_CPU": "true"}
pytestmark = pytest.mark.timeout(900)  # some runs are processes of their own, which a busy machine takes long to start


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it, as an installer leaves it."""
    folder = tmp_path_factory.mktemp("installed")
    install(PACKAGES / "unirex_hardkuma", folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def settings(site: Path) -> list[str]:
    path = site.parent / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return [f"--config={path}", "--method.name=hardkuma", f"--method.rate={TARGET}", "--method.jumps=0.2"]


@pytest.fixture(scope="module")
def whole(site: Path, settings: list[str]) -> Path:
    run = site.parent / "whole"
    output = site.parent / "whole.txt"
    assert end(start(train_with, site, [*settings, f"--output={run}"], output=output, env=CPU)) == [0]
    return run


def log(run: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [line for line in lines if "loss" in line]


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Of the last checkpoint, what is not the model's included."""
    newest = latest(run)
    assert newest is not None
    return load_file(newest / "weights.safetensors")


def test_the_package_is_one_file_and_names_nothing_but_its_entry_point() -> None:
    files = {path.name for path in (PACKAGES / "unirex_hardkuma").iterdir() if not path.name.startswith("__")}
    assert files == {"pyproject.toml", "unirex_hardkuma.py"}


@pytest.mark.slow
def test_the_share_that_is_selected_is_brought_to_the_target(whole: Path) -> None:
    steps = log(whole)
    assert len(steps) == 24
    first, last = steps[0]["rate"], np.mean([step["rate"] for step in steps[-4:]])
    assert first > TARGET + 0.3
    assert abs(last - TARGET) < 0.6 * abs(first - TARGET)
    # The multiplier has followed what the share was off by, and is in the log and in the checkpoint.
    assert steps[0]["rate_multiplier"] == pytest.approx(0.1 * 0.5 * (first - TARGET))
    assert steps[-1]["rate_multiplier"] == pytest.approx(weights(whole)["multipliers.rate.value"].item())
    assert {"task", "rate", "jumps", "jumps_multiplier"} <= steps[-1].keys()


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_weights_and_multipliers(
    site: Path, settings: list[str], whole: Path
) -> None:
    run, output = site.parent / "cut", site.parent / "cut.txt"
    stopped = start(train_with, site, [*settings, f"--output={run}"], 9, output=output, env=CPU)
    assert end(stopped) == [130], output.read_text()[-2000:]
    before = weights(run)["multipliers.rate.value"]
    resumed = start(train_with, site, [*settings, f"--output={run}", "--resume=true"], output=output, env=CPU)
    assert end(resumed) == [0], output.read_text()[-2000:]
    expected, found = weights(whole), weights(run)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    assert found["multipliers.rate.value"] != before
    assert [step["loss"] for step in log(run)] == [step["loss"] for step in log(whole)]


@pytest.mark.slow
def test_two_processes_have_the_multipliers_of_one(site: Path, settings: list[str], whole: Path) -> None:
    run, output = site.parent / "two", site.parent / "two.txt"
    codes = end(*start_two(train_with, site, [*settings, f"--output={run}"], output=output, env=CPU))
    assert codes == [0, 0], output.read_text()[-2000:]
    assert "2 processes" in output.read_text()
    for one, two in zip(log(whole), log(run), strict=True):
        for name in ("task", "rate", "jumps", "rate_multiplier", "jumps_multiplier"):
            assert two[name] == pytest.approx(one[name], rel=1e-3, abs=1e-5), (one["step"], name)


@pytest.mark.slow
def test_a_saved_model_is_judged_explained_and_reported(
    site: Path, settings: list[str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(site)
    toy = [f"--data.toy.{name}={n}" for name, n in SMALL["data"]["toy"].items()]
    assert evaluate.main([f"--model={whole / 'model'}", *toy, f"--output={tmp_path / 'again'}"]) == 0
    trained, judged = (pq.read_table(run / "predictions.parquet") for run in (whole, tmp_path / "again"))
    for column in ("id", "prediction", "probabilities", "scores", "rationale"):
        assert trained[column].equals(judged[column]), column
    assert (whole / "reference" / "select_then_predict.parquet").exists()
    (answer,) = Explainer.from_pretrained(str(whole / "model"), device="cpu")(["a fine film with a poor end"])
    assert len(answer.words) == 7
    assert all(0 <= word.score <= 1 for word in answer.words)
    assert len({word.score for word in answer.words}) > 1
    made = build(str(whole))
    assert made.parts[0].report.n_rows == 8
    assert "comprehensiveness" in made.to_html()


@pytest.mark.slow
def test_it_stands_in_a_suite_beside_our_own(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "methods" / "slm-fp.yaml"
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    content = {
        "output": str(tmp_path / "out"), "base": ["small.yaml"], "data": {"toy": []},
        "methods": {"slm-fp": str(recipe), "hardkuma": {"set": {"method.name": "hardkuma"}}},
        "set": {"train.epochs": 1},
    }  # fmt: skip
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    planned = make_plan(read_suite(str(tmp_path / "s.yaml")), [])
    ours = next(run for run in planned if run.method == "slm-fp")
    assert train.main(list(ours.arguments)) == 0  # done already: of the two only the other is a process of its own
    assert suite.main([str(tmp_path / "s.yaml")]) == 0
    rows = list((tmp_path / "out").rglob("table.csv"))
    assert rows
    assert [name in rows[0].read_text() for name in ("slm-fp", "hardkuma")] == [True, True]


def test_the_distribution_by_hand(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P(0) and P(1) and the mean against draws; the closed forms against the Beta distribution where they meet."""
    monkeypatch.syspath_prepend(site)
    from unirex_hardkuma import Gates

    # With b = 1 a Kumaraswamy is a Beta(a, 1), with a = 1 a Beta(1, b).
    for a, b in ((2.0, 1.0), (0.5, 1.0), (1.0, 3.0)):
        gates = Gates(a_BL=torch.tensor([[a]]), b_BL=torch.tensor([[b]]))
        assert gates.zero_BL.item() == pytest.approx(beta.cdf(1 / 12, a, b), rel=1e-5)
        assert gates.one_BL.item() == pytest.approx(1 - beta.cdf(11 / 12, a, b), rel=1e-4)
    torch.manual_seed(0)
    n = 100_000
    gates = Gates(a_BL=torch.full((1, n), 0.7), b_BL=torch.full((1, n), 0.9))
    drawn = gates.drawn(torch.rand(1, n).clamp(1e-6, 1 - 1e-6))
    assert (drawn == 0).float().mean().item() == pytest.approx(gates.zero_BL[0, 0].item(), abs=0.005)
    assert (drawn == 1).float().mean().item() == pytest.approx(gates.one_BL[0, 0].item(), abs=0.005)
    decided = Gates(a_BL=torch.tensor([[0.1, 5.0, 2.0]]), b_BL=torch.tensor([[5.0, 0.1, 2.0]])).decided_BL[0]
    # The mean of a Kumaraswamy(2, 2) is 2 B(3/2, 2) = 8/15.
    assert decided.tolist() == pytest.approx([0.0, 1.0, -0.1 + 1.2 * 8 / 15], abs=1e-5)
