"""Soft comprehensiveness and sufficiency: what is kept of an embedding, against the model asked row by row."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from reference.method_worlds import CASES, data, method_of
from unirex.data.collate import FillTokens, Rows
from unirex.judging.classifier import Classifier, classify
from unirex.judging.gather import judge
from unirex.judging.predict import OWN, EvalConfig, Judging
from unirex.judging.soft import soft_logits, soft_shares
from unirex.methods.method import Explainable
from unirex.metrics.scoring import score

ACCELERATOR = Accelerator(cpu=True)
SOFTLY = EvalConfig(how=("attention", "soft"), references=("random", "gold"), fractions=(0.1, 0.2, 0.5))


def answer(method: Any, rows: Rows, n_choices: int, factors_LD: Tensor) -> Tensor:
    """Logits of one instance, whose embeddings a hook multiplies on the way into the model."""
    backbone = method.model.backbone
    hook = backbone.get_input_embeddings().register_forward_hook(lambda _, __, output: output * factors_LD)
    try:
        pooled = backbone(
            input_ids=rows.input_ids_BL,
            attention_mask=rows.visible_BL.long(),
            token_type_ids=rows.token_types_BL,
        ).pooler_output
    finally:
        hook.remove()
    logits: Tensor = method.model.classifier(pooled)
    return logits.view(-1, n_choices) if n_choices > 1 else logits


@pytest.mark.parametrize("choices", [False, True], ids=["single", "choices"])
@pytest.mark.parametrize("case", ["slm_fp", "dlm_fp", "fresh"])
@torch.no_grad()
def test_shares_of_nothing_and_of_all(case: str, choices: bool) -> None:
    """With shares 0 and 1 nothing is left to chance: what is kept are the whole embeddings of the marked tokens."""
    method, world = method_of(case, choices=choices).eval(), data(choices=choices)
    batch = world.collate(np.array([0, 2, 4]))
    marks = (batch.words_BL % 2 == 0) & batch.selectable_BL
    found = soft_logits(method, batch, marks.float(), ["0", "2", "4"], SOFTLY)
    n = batch.n_choices
    for i in range(3):
        rows = torch.arange(i * n, i * n + n)
        for kind, kept in (("keep", marks), ("remove", ~marks), ("null", torch.zeros_like(marks))):
            factors = (kept | ~batch.selectable_BL)[rows].float()[..., None]
            expected = answer(method, batch.rows.take(rows), n, factors)
            got = found[kind][i][None] if kind == "null" else found[kind][:, i]
            torch.testing.assert_close(got, expected[:1].expand_as(got), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_share_is_kept_and_the_rest_removed() -> None:
    class Shown(Explainable):
        """Answers with the sum of what is left of each instance."""

        fill = FillTokens(pad_id=0, mask_id=1)
        embedding_width = 2000
        seen: list[Tensor] = []  # noqa: RUF012

        def explain(self, batch: Any) -> Any:
            raise NotImplementedError

        def perturbed(self, rows: Any, n_choices: int, max_tokens: int | None) -> Tensor:
            raise NotImplementedError

        def embedded(self, batch: Any, factors_BLD: Tensor, max_tokens: int) -> Tensor:
            self.seen.append(factors_BLD.expand(*factors_BLD.shape[:2], self.embedding_width))
            return factors_BLD.sum((1, 2))[:, None]

    model, batch = Shown(), data().collate(np.array([2, 4]))
    shares = torch.linspace(0, 1, batch.words_BL.numel()).view(batch.words_BL.shape)
    soft_logits(model, batch, shares, ["2", "4"], SOFTLY)
    *drawn, nothing = model.seen
    inside = batch.selectable_BL
    assert len(drawn) == 6
    for keep, remove in zip(drawn[::2], drawn[1::2], strict=True):
        assert ((keep + remove)[inside] == 1).all()
        assert (keep[~inside] == 1).all()
        assert (remove[~inside] == 1).all()
        np.testing.assert_allclose(keep.mean(2)[inside], shares[inside], atol=0.05)  # 4.5 standard errors
    assert not torch.equal(drawn[0], drawn[2])
    assert (nothing[inside] == 0).all()
    assert (nothing[~inside] == 1).all()
    # A draw belongs to the instance, whatever stands beside it, and to the seed.
    model.seen.clear()
    alone = data().collate(np.array([4]))
    width = alone.words_BL.shape[1]
    soft_logits(model, alone, shares[1:, :width], ["4"], SOFTLY)
    inside = alone.selectable_BL[0]
    assert torch.equal(model.seen[0][0][inside], drawn[0][1, :width][inside])
    model.seen.clear()
    soft_logits(model, alone, shares[1:, :width], ["4"], replace(SOFTLY, seed=1))
    assert not torch.equal(model.seen[0][0][inside], drawn[0][1, :width][inside])


def test_shares_lie_between_the_lowest_and_the_highest_score_of_a_row() -> None:
    words = torch.tensor([[-1, 0, 1, 2, -1], [-1, 0, 1, -1, -1], [-1, -1, -1, -1, -1]])
    scores = torch.tensor([[99.0, -2, 0, 6, -99], [0, 7, 7, 0, 0], [1, 2, 3, 4, 5]])
    expected = [[0, 0, 0.25, 1, 0], [0, 0.5, 0.5, 0, 0], [0, 0, 0, 0, 0]]
    torch.testing.assert_close(soft_shares(scores, words, "token", "max"), torch.tensor(expected))
    lacking = scores.clone()
    lacking[0, 1] = -torch.inf  # of given scores: nothing of it is kept, and the lowest is that of another
    torch.testing.assert_close(soft_shares(lacking, words, "token", "max")[0], torch.tensor([0.0, 0, 0, 1, 0]))
    lacking[0, 2:4] = -torch.inf
    assert (soft_shares(lacking, words, "token", "max")[0] == 0).all()


@pytest.mark.parametrize("family", ["bert", "llama"])
@torch.no_grad()
def test_any_classifier_is_asked(family: str) -> None:
    batch = data().collate(np.arange(6))
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = AutoConfig.for_model(family, vocab_size=200, pad_token_id=0, num_labels=3, **size)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    nn.init.normal_(model.get_input_embeddings().weight, std=0.5)
    method = Classifier(model, FillTokens(pad_id=0, mask_id=1))
    assert method.embedding_width == 16
    factors = torch.rand(*batch.words_BL.shape, 16)
    found = method.embedded(batch, factors, 40)
    for i, length in enumerate(batch.rows.visible_BL.sum(1).tolist()):
        rows = batch.rows.take(torch.tensor([i]))
        short = replace(
            rows, input_ids_BL=rows.input_ids_BL[:, :length], visible_BL=rows.visible_BL[:, :length],
            token_types_BL=rows.token_types_BL[:, :length],
        )  # fmt: skip
        embeddings = model.get_input_embeddings()(short.input_ids_BL) * factors[i : i + 1, :length]
        torch.testing.assert_close(found[i], classify(model, short, embeddings)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("case", ["aa", "slm_fp", "slm_fp_guided", "fresh", "l2e"])
def test_a_file_has_the_soft_metrics_beside_the_others(case: str, tmp_path: Path) -> None:
    method = method_of(case).eval()
    judging = Judging(
        config=SOFTLY, unit="token", word_score="max", rationale_fraction=0.25, labels=("a", "b", "c"),
        sources=(OWN, "random", "gold"), checks={"other": method_of("slm_p").eval()},
    )  # fmt: skip
    tables = judge(ACCELERATOR, method, data(), judging, title="test")
    for source in judging.sources:
        report = score(tables[source])
        soft = score(tables[source], perturbation="soft")
        check = score(tables[source], perturbation="soft", scorer="other")
        for name in ("comprehensiveness", "sufficiency", "normalised_comprehensiveness", "normalised_sufficiency"):
            assert report[f"{name}[soft]"].value == soft[name].value != report[name].value
            assert np.isfinite(check[name].value)
    columns = {name: np.array(tables[OWN][name].to_pylist()) for name in ("keep.soft.self", "remove.soft.self")}
    assert {values.shape for values in columns.values()} == {(6, 3, 3)}
    # Of gold, what is kept and removed is not left to chance, so all draws are alike; row 1 has no gold.
    marked = np.array(tables["gold"]["keep.soft.self"].to_pylist())
    assert marked.shape == (5, 3, 3)
    whole = [len(set(row["gold"])) == 2 for row in tables["gold"].to_pylist()]
    assert any(whole)
    assert np.abs(marked - marked[:, :1])[whole].max() < 1e-6
    assert np.abs(columns["keep.soft.self"] - columns["keep.soft.self"][:, :1]).max() > 1e-4


def test_select_then_predict_has_one_way_to_hide() -> None:
    """Its answer on the full input is that from the rationale, which is another one under each way; none is soft."""
    method = method_of("fresh").eval()
    judging = Judging(
        config=replace(SOFTLY, how=("attention", "delete", "soft")),
        unit="token", word_score="max", rationale_fraction=0.25, labels=("a", "b", "c"),
        sources=(OWN, "select_then_predict"),
    )  # fmt: skip
    tables: dict[str, pa.Table] = judge(ACCELERATOR, method, data(), judging, title="test")
    assert "keep.soft.self" in tables[OWN].column_names
    assert "keep.soft.self" not in tables["select_then_predict"].column_names
    assert "keep.delete.self" in tables[OWN].column_names
    assert {"keep.attention.self", "remove.attention.self", "null.attention.self"} == {
        name for name in tables["select_then_predict"].column_names if name.endswith(".self")
    }


def test_soft_is_no_headline() -> None:
    with pytest.raises(ValueError, match=r"eval\.how begins with soft, expected a perturbation that hides tokens"):
        EvalConfig(how=("soft", "attention"))


@pytest.mark.parametrize("case", CASES)
def test_every_method_can_be_asked(case: str) -> None:
    method, batch = method_of(case).eval(), data().collate(np.arange(3))
    with torch.no_grad():
        whole = torch.ones(*batch.words_BL.shape, method.embedding_width)
        found = method.embedded(batch, whole, 64)
        torch.testing.assert_close(found, method.perturbed(batch.rows, 1, None), atol=1e-5, rtol=1e-4)
