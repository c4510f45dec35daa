"""Checkpoints: complete, checked, and equal to what was saved."""

import json
from pathlib import Path

import pytest
import torch

from reference.checkpoints import latest
from unirex.disk import checkpoint


def trained(steps: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_round_trip(tmp_path: Path) -> None:
    model, optimizer = trained(3)
    folder = checkpoint.save(tmp_path, 3, model.state_dict(), optimizer, {"progress": {"step": 3}})
    assert latest(tmp_path) == folder
    assert {p.suffix for p in folder.iterdir()} == {".json", ".safetensors"}
    other, fresh = trained(0)
    weights, state = checkpoint.load(folder, fresh)
    other.load_state_dict(weights)
    assert state["progress"] == {"step": 3}
    for a, b in zip(optimizer.state.values(), fresh.state.values(), strict=True):
        assert all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a)
    for m, o in ((model, optimizer), (other, fresh)):
        o.zero_grad()
        m(torch.ones(4, 3)).square().sum().backward()
        o.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def steps(run: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (run / "checkpoints").iterdir())


def test_the_newest_two_checkpoints_are_kept(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    kept = []
    for step in (1, 2, 3, 3):
        checkpoint.save(tmp_path, step, model.state_dict(), optimizer, {})
        kept.append(steps(tmp_path))
    assert kept == [[1], [1, 2], [2, 3], [2, 3]]


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before_it(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    assert checkpoint.latest_whole(tmp_path) == (None, "")
    for step in (2, 4):
        checkpoint.save(tmp_path, step, model.state_dict(), optimizer, {})
    first, second = (tmp_path / "checkpoints" / f"step-0000000{step}" for step in (2, 4))
    assert checkpoint.latest_whole(tmp_path) == (second, "")
    _cut(second / "weights.safetensors")
    folder, wrong = checkpoint.latest_whole(tmp_path)
    assert folder == first
    assert str(second / "weights.safetensors") in wrong
    # The run that goes on from step 2 leaves nothing of the damaged one that was ahead of it.
    checkpoint.save(tmp_path, 3, model.state_dict(), optimizer, {})
    assert steps(tmp_path) == [2, 3]
    for folder in (tmp_path / "checkpoints").iterdir():
        _flip(folder / "state.json")
    with pytest.raises(
        ValueError, match=r"step-00000003/state.json: SHA-256 .* no other; .* --overwrite true to start"
    ):
        checkpoint.latest_whole(tmp_path)


def test_a_checkpoint_of_a_later_version_gives_way_to_no_other(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    for step in (1, 2):
        checkpoint.save(tmp_path, step, model.state_dict(), optimizer, {})
    manifest = tmp_path / "checkpoints" / "step-00000002" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 7}))
    with pytest.raises(ValueError, match="version is 7, expected 1"):
        checkpoint.latest_whole(tmp_path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "weights.safetensors: .* bytes, expected .*: the checkpoint is damaged"),
        (_flip, "weights.safetensors: SHA-256 differs from the manifest"),
        (Path.unlink, "weights.safetensors: missing, expected"),
    ],
)
def test_damage_is_named(damage: object, message: str, tmp_path: Path) -> None:
    model, optimizer = trained(1)
    folder = checkpoint.save(tmp_path, 1, model.state_dict(), optimizer, {})
    damage(folder / "weights.safetensors")  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        checkpoint.load(folder, optimizer)


def test_another_version_is_refused(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    folder = checkpoint.save(tmp_path, 1, model.state_dict(), optimizer, {})
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "version": 7}))
    with pytest.raises(ValueError, match=r"manifest\.json: version is 7, expected 1"):
        checkpoint.load(folder, optimizer)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with checkpoint.atomic_folder(folder) as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(OSError, match="disk full"), checkpoint.atomic_folder(folder) as temporary:  # noqa: PT012
        (temporary / "a").write_text("half")
        raise OSError("disk full")
    assert (folder / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
