"""Models, checkpoints and data from strangers: nothing in them runs, leads out of its folder or steers a terminal."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from unirex import evaluate, train
from unirex.data.eraser import EraserConfig, read_eraser
from unirex.data.errors import DataError
from unirex.disk import checkpoint
from unirex.metrics.commands import cli

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
TOY = ["--data.toy.n_train=24", "--data.toy.n_val=8", "--data.toy.n_test=6"]


class Canary:
    """Whoever unpickles this leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "model", tmp_path / "model"))


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def judged(model: Path, *more: str) -> int:
    return evaluate.main([f"--model={model}", *TOY, f"--output={model.parent / 'out'}", *more])


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("kept", [False, True], ids=["instead of safetensors", "beside safetensors"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "training_args.bin", "optimizer.pt"])
def test_no_pickle_is_opened(
    name: str, kept: bool, model: Path, canary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"x": Canary(canary)}, model / name)
    if not kept:
        (model / "model.safetensors").unlink()
    assert judged(model) == (0 if kept else 2)
    assert not canary.exists()
    error = capsys.readouterr().err
    assert kept or error.strip().splitlines()[-1].startswith("error: ")


def test_a_pickle_named_safetensors_is_no_model(model: Path, canary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model / "model.safetensors").write_bytes(pickle.dumps(Canary(canary)))
    assert judged(model) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not canary.exists()


CODE = "import pathlib\npathlib.Path({canary!r}).touch()\nclass C: pass\nclass M: pass\nclass T: pass\n"


@pytest.mark.parametrize("where", ["config", "backbone", "tokenizer", "another type"])
def test_no_code_of_a_checkpoint_runs(where: str, model: Path, canary: Path) -> None:
    (model / "evil.py").write_text(CODE.format(canary=str(canary)))
    auto = {"AutoConfig": "evil.C", "AutoModel": "evil.M", "AutoTokenizer": ["evil.T", "evil.T"]}
    config = json.loads((model / "config.json").read_text())
    if where == "config":
        edit(model / "config.json", auto_map=auto, trust_remote_code=True)
    elif where == "backbone":
        edit(model / "config.json", backbone={**config["backbone"], "auto_map": auto, "trust_remote_code": True})
    elif where == "tokenizer":
        edit(model / "tokenizer_config.json", auto_map=auto, tokenizer_class="T")
    else:
        edit(model / "config.json", auto_map=auto, model_type="evil")
    code = judged(model)
    assert not canary.exists()
    assert code in ((0, 2) if where != "another type" else (2,))


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
@pytest.mark.parametrize("inside", [False, True])
def test_no_kernel_is_fetched(inside: bool, name: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration can name an attention implementation on the hub, which is code."""
    kernel = {name: "kernels-community/flash-attn3"}
    config = json.loads((model / "config.json").read_text())
    edit(model / "config.json", **({"backbone": {**config["backbone"], **kernel}} if inside else kernel))
    assert judged(model) == 2
    assert "which is code from elsewhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"run": None}, "run"),
        ({"run": {"method": {"name": "../../evil"}}}, "run"),
        ({"backbone": "../../etc"}, "backbone"),
        ({"backbone": None}, "backbone"),
        ({"backbone": {"model_type": "no such"}}, "no such"),
        ({"backbone": {"model_type": "bert", "hidden_size": "x"}}, "hidden_size"),
    ],
    ids=str,
)
def test_a_bad_configuration_is_one_line(
    changes: dict[str, Any], part: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(model / "config.json", **changes)
    assert judged(model) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert part in error
    assert str(model) in error


@pytest.mark.parametrize(
    "files",
    [
        {"../outside": {"bytes": 1, "sha256": ""}},
        {"/etc/hostname": {"bytes": 1, "sha256": ""}},
        {"weights.safetensors": None},
        [],
        None,
        {},
    ],
    ids=str,
)
def test_a_manifest_lists_files_of_its_folder(files: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "checkpoints" / "step-00000003", tmp_path / "step-00000003"))
    manifest = json.loads((folder / "manifest.json").read_text())
    if isinstance(files, dict) and files:
        files = {**manifest["files"], **files}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "files": files}))
    with pytest.raises(ValueError, match=r"manifest\.json: files"):
        checkpoint.check(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"9" * 5000])
@pytest.mark.parametrize("name", ["manifest.json", "state.json"])
def test_torn_json_is_named(content: bytes, name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "checkpoints" / "step-00000003", tmp_path / "step-00000003"))
    (folder / name).write_bytes(content)
    if name == "state.json":  # a stranger's manifest agrees with it
        (folder / "manifest.json").unlink()
        checkpoint._write_manifest(folder)
    optimizer = torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        checkpoint.load(folder, optimizer)


@pytest.mark.parametrize(
    "name", ["../secret", "../../secret", "/etc/hostname", "a/../../secret", "..", ".", "", "a\0b"]
)
def test_a_document_cannot_lie_outside_its_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "docs" / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("not yours")
    (folder / "secret").write_text("not yours")
    (folder / "docs" / "a" / "b").write_text("it was fun")
    row = {"annotation_id": "i", "classification": "x", "evidences": [], "docids": [name]}
    (folder / "train.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"train\.jsonl:1: docid is .*, expected a document in"):
        list(read_eraser(str(folder), "train", query="ignore", config=EraserConfig()))
    (folder / "train.jsonl").write_text(json.dumps({**row, "docids": ["a/b"]}) + "\n")
    assert len(list(read_eraser(str(folder), "train", query="ignore", config=EraserConfig()))) == 1
    rationale = {"docid": name, "hard_rationale_predictions": []}
    (folder / "results.jsonl").write_text(json.dumps({"annotation_id": "i", "rationales": [rationale]}) + "\n")
    code = cli.main(["validate", str(folder / "results.jsonl"), "--data-dir", str(folder), "--split", "train"])
    assert code == 2


ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp\nerror: all is well\r"


def steers(text: str) -> set[str]:
    return {c for c in text.replace("\n", "") if ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029\u202e"}


def test_errors_show_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "docs.jsonl").write_text(json.dumps({"docid": ESCAPES, "document": "a"}) + "\n")
    for row in ({"annotation_id": ESCAPES, "docids": [ESCAPES], "classification": 1}, {ESCAPES: 1}, [ESCAPES]):
        (folder / "train.jsonl").write_text(json.dumps(row) + "\n" + ESCAPES)
        arguments = ["--data.source=eraser", f"--data.path={folder}", f"--output={tmp_path / 'run'}"]
        assert train.main(arguments) == 2
        error = capsys.readouterr().err
        assert not steers(error)
        assert error.strip().count("\n") == 0
    assert train.main([f"--data.path={ESCAPES}", "--data.source=eraser"]) == 2
    assert not steers(capsys.readouterr().err)


def test_tables_show_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": f"{i}{ESCAPES}", "label": ESCAPES, "prediction": ESCAPES if i else "b"} for i in range(3)]
    file = tmp_path / "sys\x1b[2Jtem.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for arguments in (
        ["score", "--all"],
        ["score", "--json"],
        ["validate"],
        ["compare", str(file)],
        ["score", "--x\x1b"],
    ):
        cli.main([*arguments, str(file)])
        found = capsys.readouterr()
        assert not steers(found.out + found.err), arguments
        if "--json" in arguments:
            assert json.loads(found.out)["rows"] == 3
    file.write_text("".join(json.dumps(row) + "\n" for row in [rows[0], rows[0]]))
    assert cli.main(["score", str(file)]) == 2
    assert not steers(capsys.readouterr().err)
