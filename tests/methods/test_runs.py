"""Whole runs of every method: trained in its stages, saved, reloaded, explained and scored, on toy and on real data."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import ByteLevelBPETokenizer
from tokenizers.processors import RobertaProcessing
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from reference.checkpoints import latest
from unirex import evaluate, train
from unirex.data import DataConfig, load_split
from unirex.data.tokenization import build_tokenizer
from unirex.data.toy import ToyConfig
from unirex.judging.saved import load_saved
from unirex.modeling import load_model
from unirex.training import loop as training

TOY = ["--data.toy.n_train=48", "--data.toy.n_val=12", "--data.toy.n_test=9"]
TINY = [
    "--model.random.hidden_size=16", "--model.random.num_attention_heads=2", "--model.random.intermediate_size=32",
    "--train.lr=0.001", "--train.batch_size=24", "--train.epochs=1", "--train.log_every=1",
    "--eval.references=[random]",
]  # fmt: skip
RECIPES = Path(__file__).parents[2] / "recipes"
pytestmark = pytest.mark.slow
METHODS: dict[str, list[str]] = {
    "aa": ["--model.extractor=none", "--method.attribution=deeplift"],
    "aa_f": ["--model.extractor=attribution", "--method.plaus_weight=0"],
    "aa_fp": ["--model.extractor=attribution", "--model.head=mlp", "--model.head_width=8"],
    "dlm_p": ["--model.extractor=dual", "--method.comp_weight=0", "--method.suff_weight=0"],
    "dlm_fp": ["--model.extractor=dual"],
    "slm_p": ["--method.comp_weight=0", "--method.suff_weight=0"],
    "slm_fp": [],
    "slm_fp_relaxed": [f"--config={RECIPES / 'methods' / 'slm-fp-relaxed.yaml'}", "--train.best_metric=composite"],
    "slm_fp_guided": [f"--config={RECIPES / 'methods' / 'slm-fp-guided.yaml'}", "--train.best_metric=composite"],
    "refer": [f"--config={RECIPES / 'methods' / 'refer.yaml'}"],
    "sgt_p": ["--method.name=sgt", "--method.plaus_weight=0.5"],
    "fresh": ["--method.name=fresh", "--method.shape=contiguous"],
    "fresh_p": ["--method.name=fresh", "--method.plaus_weight=0.5"],
    "a2r": ["--method.name=a2r"],
    "a2r_p": ["--method.name=a2r", "--method.plaus_weight=0.5", "--model.extractor=shared"],
    "l2e": ["--method.name=l2e"],
    "rtp": [f"--config={RECIPES / 'methods' / 'rtp.yaml'}"],
    "n2r": [f"--config={RECIPES / 'methods' / 'n2r.yaml'}"],
    "mcd": [f"--config={RECIPES / 'methods' / 'mcd.yaml'}"],
    "mcd_p": ["--method.name=mcd", "--method.plaus_weight=0.5", "--model.extractor=shared", "--method.estimator=aimle"],
}


def check_run(run: Path, data: list[str], rows: int) -> dict[str, Any]:
    """A finished run: its model, reloaded, gives the same predictions; returns the report by system."""
    again = run.with_name(f"{run.name}-again")
    assert evaluate.main([f"--model={run / 'model'}", *data, "--eval.references=[random]", f"--output={again}"]) == 0
    for name in ("predictions.parquet", "reference/random.parquet"):
        trained, judged = pq.read_table(run / name), pq.read_table(again / name)
        assert trained.num_rows == rows
        assert trained.column_names == judged.column_names
        for column in set(trained.column_names) - {"model"}:
            assert trained[column].equals(judged[column]), column
    systems = json.loads((run / "metrics.json").read_text())["systems"]
    assert all(len(system["metrics"]) > 10 for system in systems)
    return {system["about"]["scores_from"]: system for system in systems}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_on_toy(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train.main([*TOY, *TINY, *METHODS[name], f"--output={run}"]) == 0
    systems = check_run(run, TOY, 9)
    staged = name.startswith(("fresh", "l2e"))
    assert (run / "stages").exists() == staged
    for first in (run / "stages").glob("*"):
        saved = load_saved(str(first / "model")).method
        assert saved._stage == first.name, "its model answers, and its scores explain"
    by_construction = name.startswith(("fresh", "a2r", "mcd", "n2r"))
    assert ("select_then_predict" in systems) == by_construction
    if by_construction:
        metrics = {metric["name"]: metric["value"] for metric in systems["select_then_predict"]["metrics"]}
        assert metrics["sufficiency"] == 0


def test_a_stage_that_trains_no_answer_ends_with_its_last_epoch(tmp_path: Path) -> None:
    kept = ["--method.name=l2e", "--train.best_metric=headline", "--train.epochs=3", "--train.patience=1"]
    assert train.main([*TOY, *TINY, *kept, "--method.task_epochs=1", f"--output={tmp_path / 'run'}"]) == 0
    events = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len({event["best"] for event in events if event.get("event") == "dev"}) == 1, "of a frozen task model"
    (end,) = (event for event in events if event.get("event") == "end")
    assert (end["epoch"], end["best_epoch"]) == (3, 3)


@pytest.fixture(scope="module")
def first_of_sst(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first instances of each split of SST and their documents: reading all takes longer than a run."""
    folder, ids = tmp_path_factory.mktemp("sst"), set()
    whole = Path(os.environ["UNIREX_DATA"], "sst")
    for split in ("train", "val", "test"):
        lines = (whole / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()[:48]
        ids |= {json.loads(line)["annotation_id"] for line in lines}
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    documents = (whole / "docs.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [line for line in documents if json.loads(line)["docid"] in ids]
    (folder / "docs.jsonl").write_text("\n".join(kept), encoding="utf-8")
    return folder


@pytest.mark.skipif("UNIREX_DATA" not in os.environ, reason="UNIREX_DATA is not set")
@pytest.mark.parametrize("name", ["aa", "dlm_fp", "slm_fp_guided", "fresh", "l2e", "mcd_p"])
def test_a_method_on_real_data(name: str, tmp_path: Path, first_of_sst: Path) -> None:
    data = [
        "--data.source=eraser", f"--data.path={first_of_sst}", "--data.query=ignore", "--data.labels=[neg,pos]",
        "--data.limit=32",
    ]  # fmt: skip
    run = tmp_path / "run"
    assert train.main([*data, *TINY, "--train.dev_limit=16", *METHODS[name], f"--output={run}"]) == 0
    check_run(run, data, 32)


def losses(run: Path) -> list[float]:
    lines = (run / "log.jsonl").read_text().splitlines()
    return [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]


@pytest.mark.parametrize("stop_at", [1, 3])
def test_a_run_of_two_stages_is_resumed_in_either(
    stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*TOY, *TINY, "--method.name=fresh", "--model.dropout=0.1"]
    assert train.main([*arguments, f"--output={tmp_path / 'whole'}"]) == 0
    step, seen = training.Training._step, []

    def stop(self: training.Training, index: Any) -> Any:
        terms, _ = step(self, index)
        seen.append(1)
        return terms, len(seen) == stop_at

    monkeypatch.setattr(training.Training, "_step", stop)
    assert train.main([*arguments, f"--output={tmp_path / 'cut'}"]) == 130
    monkeypatch.undo()
    assert train.main([*arguments, f"--output={tmp_path / 'cut'}", "--resume=true"]) == 0
    capsys.readouterr()
    for folder in ("stages/support", "."):
        assert losses(tmp_path / "cut" / folder) == pytest.approx(losses(tmp_path / "whole" / folder), rel=1e-6)
    whole, cut = (pq.read_table(tmp_path / name / "predictions.parquet") for name in ("whole", "cut"))
    assert whole["prediction"].equals(cut["prediction"])
    # Another run in the folder begins all stages anew.
    assert train.main([*arguments, f"--output={tmp_path / 'cut'}", "--overwrite=true", "--seed=1"]) == 0
    assert losses(tmp_path / "cut" / "stages/support") != losses(tmp_path / "whole" / "stages/support")


def test_the_step_of_adaptive_imle_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [*TOY, *TINY, "--method.estimator=aimle", "--train.epochs=2"]
    assert train.main([*arguments, f"--output={tmp_path / 'whole'}"]) == 0
    step = training.Training._step

    def stop(self: training.Training, index: Any) -> Any:
        terms, _ = step(self, index)
        return terms, self.progress.step == 2  # of four

    monkeypatch.setattr(training.Training, "_step", stop)
    assert train.main([*arguments, f"--output={tmp_path / 'cut'}"]) == 130
    size = load_file(latest(tmp_path / "cut") / "weights.safetensors")["step.size"]  # type: ignore[operator]
    assert size.item() in (pytest.approx(0.5 + n * 0.005) for n in (-3, -1, 1, 3))
    monkeypatch.undo()
    assert train.main([*arguments, f"--output={tmp_path / 'cut'}", "--resume=true"]) == 0
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    ends = [load_file(latest(tmp_path / name) / "weights.safetensors") for name in ("whole", "cut")]  # type: ignore[operator]
    for name in ("step.size", "step.moved"):
        assert torch.equal(ends[0][name], ends[1][name])
    assert ends[0]["step.size"] != size


def texts() -> list[str]:
    train_set = load_split(DataConfig(toy=ToyConfig(n_train=48, n_val=12, n_test=9)), "train")
    return [segment.text for example in train_set for segment in example.segments]


def save_encoder(folder: Path, family: str, tokenizer: PreTrainedTokenizerFast, **shape: Any) -> None:
    tokenizer.save_pretrained(folder)
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, max_position_embeddings=80, **shape
    )
    AutoModel.from_config(config).save_pretrained(folder)


@pytest.mark.parametrize("method", [[], ["--method.name=l2e"], ["--method.name=a2r", "--method.plaus_weight=0.5"]])
def test_an_extractor_with_another_backbone_and_tokenizer(method: list[str], tmp_path: Path) -> None:
    """BERT on word pieces is explained by a RoBERTa on byte-level BPE of other pieces and another width."""
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    save_encoder(tmp_path / "task", "bert", build_tokenizer(texts(), max_length=72), hidden_size=16, **shape)
    bpe = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    bpe.train_from_iterator(texts(), vocab_size=330, special_tokens=special)
    bpe._tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    own = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", model_max_length=72,
    )  # fmt: skip
    save_encoder(tmp_path / "extractor", "roberta", own, hidden_size=20, **shape)
    run = tmp_path / "run"
    model = [f"--model.backbone={tmp_path / 'task'}", f"--model.extractor_backbone={tmp_path / 'extractor'}"]
    extractor = ["--model.extractor=dual"]
    assert train.main([*TOY, *TINY, *model, *extractor, *method, f"--output={run}"]) == 0
    shutil.rmtree(tmp_path / "task")
    shutil.rmtree(tmp_path / "extractor")
    config = json.loads((run / "model" / "config.json").read_text())
    assert (config["backbone"]["model_type"], config["extractor_backbone"]["model_type"]) == ("bert", "roberta")
    check_run(run, TOY, 9)
    scores = [s for row in pq.read_table(run / "predictions.parquet")["scores"].to_pylist() for s in row]
    assert len(set(scores)) > 9
    found = load_model(run / "model")(torch.full((2, 4), 70))  # ids of the task model, which the extractor's are not
    assert found.logits.shape == (2, 2)
    assert found.scores is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--method.name=fresh", "--model.extractor=dual"],
            "model.extractor is 'dual', expected support for method fresh",
        ),
        (["--method.name=sgt", "--method.comp_weight=1"], "method.comp_weight is 1.0, expected 0 for sgt"),
        (["--method.name=mcd", "--train.gradient_checkpointing=true"], "expected false with method.name mcd"),
        (
            ["--model.extractor=attribution", "--train.gradient_checkpointing=true"],
            "expected false with model.extractor attribution",
        ),
        (["--method.name=n2r", "--method.estimator=imle", "--method.temperature=0.5"], "method.temperature is 0.5"),
        (["--method.name=a3r"], "did you mean a2r?"),
        (["--preset=papre"], "did you mean paper?"),
        (["--model.extractor=attribution", "--method.attribution=ig"], "expected grad or input_x_grad"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*TOY, *TINY, *arguments, f"--output={tmp_path / 'run'}"]) == 2
    assert message in capsys.readouterr().err
