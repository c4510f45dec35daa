"""The model card, and models on their way to the Hugging Face Hub, which is a folder here."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from huggingface_hub import HfApi, ModelCard
from transformers.utils import hub

from unirex import train
from unirex.explainer import Explainer
from unirex.modeling import UnirexModel

TINY = [
    "--data.toy.n_train=72", "--data.toy.n_val=21", "--data.toy.n_test=17", "--model.random.hidden_size=32",
    "--train.lr=0.001", "--train.batch_size=24", "--train.epochs=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "plain"
    assert train.main([*TINY, f"--output={folder}"]) == 0
    return folder


def test_the_card_holds_the_final_scores_and_the_configuration(run: Path) -> None:
    card = ModelCard.load(run / "model" / "README.md")
    systems = json.loads((run / "metrics.json").read_text())["systems"]
    final = {metric["name"]: metric["value"] for metric in systems[0]["metrics"] if metric["value"] is not None}
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert {"accuracy", "comprehensiveness", "sufficiency", "auprc"} <= set(found)
    assert found == {name: final[name] for name in found}
    assert card.data.eval_results[0].dataset_split == "test"
    assert f"{final['accuracy']:.4f}" in card.text
    assert "| random |" in card.text.replace("| extractor ", "")
    assert str(run) not in card.content, "no folder of this machine goes to the Hub"
    settings = yaml.safe_load(card.text.split("```yaml\n")[1].split("```")[0])
    assert settings["train"]["lr"] == 0.001


def test_the_three_lines_of_the_card_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (run / "model" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(lines.strip().splitlines()) == 3
    exec(lines.replace("THIS_MODEL", str(run / "model")), {"text": "a truly wonderful film"})
    assert "top words:" in capsys.readouterr().out


def test_a_model_goes_to_the_hub_whole_and_comes_back(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def create_repo(self: HfApi, repo_id: str, **settings: Any) -> Any:
        asked.append((repo_id, settings["private"]))
        return SimpleNamespace(repo_id=f"me/{repo_id}")

    def upload_folder(self: HfApi, *, repo_id: str, folder_path: str, commit_message: str) -> str:
        shutil.copytree(folder_path, tmp_path / repo_id)
        return f"https://hub.invalid/{repo_id}/commit/1"

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    (run / "model" / "evil.py").write_text("raise SystemExit")
    explainer = Explainer.from_pretrained(run)
    assert explainer.push_to_hub("mine", private=True) == "https://hub.invalid/me/mine/commit/1"
    assert asked == [("mine", True)]
    names = {path.name for path in (tmp_path / "me" / "mine").iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= names
    assert "evil.py" not in names
    again = Explainer.from_pretrained(tmp_path / "me" / "mine")
    assert again("a fine film").to_dict() == explainer("a fine film").to_dict()
    explainer.save_pretrained(tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy").iterdir()} == names


def test_the_models_own_push_to_hub_works_too(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, bytes] = {}

    class Api:
        def create_repo(self, repo_id: str, **_: Any) -> Any:
            return SimpleNamespace(repo_id=repo_id)

        def create_commit(self, repo_id: str, operations: Any, **_: Any) -> str:
            for operation in operations:
                sent[operation.path_in_repo] = Path(operation.path_or_fileobj).read_bytes()
            return "done"

    monkeypatch.setattr(hub, "hf_api", Api)
    card = ModelCard.load(run / "model" / "README.md")
    monkeypatch.setattr(hub, "create_and_tag_model_card", lambda *_, **__: card)
    assert UnirexModel.from_pretrained(run / "model").push_to_hub("me/mine") == "done"
    assert {"README.md", "config.json", "model.safetensors"} <= set(sent)
    assert json.loads(sent["config.json"])["model_type"] == "unirex"
