"""Methods, estimators and readers of other packages: found by entry points, and refused in one line."""

from pathlib import Path

import pytest
import torch

from reference.packages import describe
from unirex.config.run import RunConfig, parse
from unirex.data import DataConfig, load_split
from unirex.methods import METHODS, find_method
from unirex.methods.joint import Joint
from unirex.methods.sgt import Sgt
from unirex.plugins import Registry
from unirex.rationale.relaxation import relax
from unirex.rationale.selection import relaxed_masks
from unirex.rationale.settings import Relaxation
from unirex.training.assemble import assemble


def read(*arguments: str) -> RunConfig:
    return parse(list(arguments), prog="t", description="d")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def message_of(name: str) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        find_method(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_old_name_of_joint_is_read() -> None:
    assert find_method("unirex") is find_method("joint") is Joint


def test_our_own_methods_come_first_and_other_packages_behind(site: Path) -> None:
    code = "raise SystemExit('imported before anybody asked for it')"
    describe(site, "brief-pkg", "[unirex.methods]\nbrief = brief_mod:Brief\n", brief_mod=code)
    assert list(METHODS) == [*METHODS.built_in, "brief"]
    assert "brief" in METHODS
    with pytest.raises(ValueError, match=r"method.name is 'breif', expected one of joint, .*, brief \(did you mean br"):
        read("--method.name=breif")


def test_an_installed_method_brings_its_settings_and_extractors(site: Path) -> None:
    code = '''
from dataclasses import dataclass
from unirex.methods.joint import Joint, JointConfig

@dataclass(frozen=True, kw_only=True)
class PlainConfig(JointConfig):
    """Settings.

    Attributes:
        name: of the method.
        zeal: a setting of its own.
    """

    name: str = "plain"
    zeal: float = 0.5

class Plain(Joint):
    config_class = PlainConfig
    extractors = ("dual",)
'''
    describe(site, "plain-pkg", "[unirex.methods]\nplain = plain_mod:Plain\n", plain_mod=code)
    config = read("--method.name=plain", "--method.zeal=0.7")
    assert (config.method.name, vars(config.method)["zeal"], config.model.extractor) == ("plain", 0.7, "dual")
    with pytest.raises(ValueError, match=r"unknown configuration key 'method.zael'.*did you mean method.zeal"):
        read("--method.name=plain", "--method.zael=0.7")
    with pytest.raises(ValueError, match=r"model.extractor is 'shared', expected dual for method plain"):
        read("--method.name=plain", "--model.extractor=shared")


def test_a_package_that_cannot_be_imported_is_named(site: Path) -> None:
    describe(site, "broken-pkg", "[unirex.methods]\nbad = broken_mod:Bad\n", broken_mod="import no_such_module")
    message = message_of("bad")
    assert message.startswith("method.name 'bad': the package broken-pkg 1.0 (entry point broken_mod:Bad of unirex.met")
    assert "cannot be imported (ModuleNotFoundError: No module named 'no_such_module')" in message
    assert find_method("joint") is Joint


def test_an_entry_point_that_names_nothing_or_something_else_is_refused(site: Path) -> None:
    points = "[unirex.methods]\nlost = odd_mod:Lost\nnumber = odd_mod:number\nkind = odd_mod:Kind\n"
    describe(site, "odd-pkg", points, odd_mod="number = 3\nclass Kind: pass\n")
    assert "cannot be imported (AttributeError:" in message_of("lost")
    assert message_of("number").endswith("holds a int, expected a subclass of unirex.methods.method.Method")
    assert message_of("kind").endswith("holds a type, expected a subclass of unirex.methods.method.Method")


def test_a_method_of_a_package_that_lacks_a_part_says_which(site: Path) -> None:
    code = (
        "from unirex.methods.joint import Joint\nfrom unirex.methods.method import Method\n"
        "class Half(Method): pass\nclass Bare(Joint): config_class = None\n"
    )
    describe(site, "half-pkg", "[unirex.methods]\nhalf = half_mod:Half\nbare = half_mod:Bare\n", half_mod=code)
    assert "method Half lacks " in message_of("half")
    assert message_of("bare").startswith("method Bare: expected config_class with a default for each setting (")


def test_a_name_of_ours_cannot_be_taken(site: Path) -> None:
    describe(site, "greedy-pkg", "[unirex.methods]\njoint = greedy_mod:Joint\n", greedy_mod="")
    message = message_of("joint")
    assert message.startswith("method.name 'joint' is part of unirex, and the package greedy-pkg 1.0 claims it too")
    assert list(METHODS).count("joint") == 1
    assert find_method("sgt") is Sgt  # the others are left alone


def test_two_packages_with_one_name_are_both_named(site: Path) -> None:
    for name in ("first", "second"):
        describe(site, name, f"[unirex.methods]\nsame = {name}_mod:Same\n")
    message = message_of("same")
    assert "first 1.0" in message
    assert "second 1.0" in message


def test_an_estimator_of_another_package_selects_and_sends_its_gradient(site: Path) -> None:
    code = '''
from unirex.rationale.relaxation import top

def scaled(scores_BU, valid_BU, count_KB, how, step):
    """The top units; the gradient of temperature times the scores."""
    soft_BU = how.temperature * scores_BU * valid_BU
    return top(scores_BU, valid_BU, count_KB) + (soft_BU - soft_BU.detach())
'''
    describe(site, "scaled-pkg", "[unirex.estimators]\nscaled = scaled_mod:scaled\n", scaled_mod=code)
    scores = torch.tensor([[3.0, 1.0, 2.0]], requires_grad=True)
    how = Relaxation(estimator="scaled", temperature=0.5)
    marks = relax(scores, torch.ones(1, 3).bool(), torch.tensor([[2]]), how)
    assert marks.tolist() == [[[1.0, 0.0, 1.0]]]
    assert torch.autograd.grad(marks.sum(), scores)[0].tolist() == [[0.5, 0.5, 0.5]]
    words = torch.tensor([[0, 1, 2]])
    assert relaxed_masks(scores, words, [0.67], how).tolist() == [[[1.0, 0.0, 1.0]]]
    # Which settings it reads is not known: none is refused.
    config = read("--method.estimator=scaled", "--method.samples=7", "--method.aimle_rate=0.1")
    unread = config.method.unread("none")
    assert unread["method.gradient_weight"] == "model.extractor none"
    assert not [cause for cause in unread.values() if "estimator" in cause]
    with pytest.raises(ValueError, match=r"method.estimator is 'scald', expected one of hard, .*did you mean scaled"):
        read("--method.estimator=scald")


def test_a_reader_of_another_package_is_trained_from(site: Path) -> None:
    code = '''
import numpy as np
from unirex.data.record import Record, split_words

def read(config, split):
    """Sums, with their result as gold."""
    n = {"train": 8, "val": 4, "test": 0}[split]
    for i in range(n):
        texts, gold = (split_words(f"{i} plus one"),), np.array([1, 0, 0], dtype=np.float32)
        yield Record(where=f"sum {i}", id=f"{split}{i}", label="ab"[i % 2], texts=texts, gold=gold)
'''
    describe(site, "sums-pkg", "[unirex.readers]\nsums = sums_mod:read\n", sums_mod=code)
    config = DataConfig(source="sums")
    assert config.short_name == "sums"
    examples = load_split(config, "train")
    assert [example.id for example in examples] == [f"train{i}" for i in range(8)]
    assert list(examples[3].words) == ["3", "plus", "one"]
    assert not load_split(config, "test")
    parts = assemble(read("--data.source=sums", "--data.limit=6", "--data.labels=[a,b]"))
    assert len(parts.splits.train) == 6
    assert parts.splits.labels == ("a", "b")
    with pytest.raises(ValueError, match=r"data.source is 'summs', expected one of toy, eraser, hub, sums \(did you m"):
        read("--data.source=summs")
    with pytest.raises(ValueError, match=r"data.path is None, expected one for source: hub"):
        DataConfig(source="hub")


def test_a_registry_without_packages_knows_its_own() -> None:
    numbers = Registry("number", "unirex.tests.no_such_group", {"one": 1}, lambda _: True, "a number")
    assert (list(numbers), numbers["one"], "two" in numbers) == (["one"], 1, False)
    with pytest.raises(ValueError, match="number is 'two', expected one of one"):
        numbers.find("two")
