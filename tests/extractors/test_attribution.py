"""Attributions beside captum's, on models small enough for both."""
# ruff: noqa: NPY002  # captum draws from numpy's global state

from dataclasses import replace
from typing import get_args

import captum.attr._core.deep_lift as captum_deep_lift
import numpy as np
import pytest
import torch
from captum.attr import DeepLift, InputXGradient, IntegratedGradients, Saliency
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.activations import ACT2CLS, GELUActivation

from unirex.data.collate import FillTokens, Rows
from unirex.encoder.backbone import encode_pooled
from unirex.extractors.attention import attention_scores, eager
from unirex.extractors.attribution import attribute, with_logits
from unirex.extractors.deeplift import ELEMENTWISE, deeplift
from unirex.extractors.gate_gradients import gate_gradient, gate_gradients, integrated_gates
from unirex.extractors.gradients import completeness_gap, draw_shap, gradient_shap, integrated_gradients
from unirex.extractors.head import ScoreHead
from unirex.extractors.learned import VectorHead
from unirex.extractors.occlusion import occlusion
from unirex.extractors.settings import Attribution, AttributionConfig
from unirex.extractors.target import Target

VOCABULARY, CLASSES = 40, 3
SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
FAMILIES = {
    "bert": ("first", SHAPE),
    "roberta": ("mean", {**SHAPE, "pad_token_id": 1}),
    "distilbert": ("first", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}),
    "electra": ("first", {**SHAPE, "embedding_size": 8}),
    "modernbert": ("mean", {**SHAPE, "pad_token_id": 1, "global_attn_every_n_layers": 2, "local_attention": 4}),
    "llama": ("last", {**SHAPE, "pad_token_id": 1}),
}


def target(family: str = "bert", *, max_tokens: int = 16384, spread: float = 1.0) -> Target:
    """Three rows of 7, 4 and 5 tokens, the first and last of each not selectable, on a model with random weights."""
    torch.manual_seed(3)
    pooling, shape = FAMILIES[family]
    config = AutoConfig.for_model(family, vocab_size=VOCABULARY, max_position_embeddings=32, **shape)
    backbone = AutoModel.from_config(config, attn_implementation="sdpa").eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4 * spread)
        # Padding's embedding starts as zero, where a layer norm without an offset (llama's) has a pole.
        nn.init.normal_(backbone.get_input_embeddings().weight, std=0.1)
    classifier = nn.Linear(16, CLASSES)
    lengths = torch.tensor([7, 4, 5])
    visible_BL = torch.arange(7) < lengths[:, None]
    ids_BL = torch.randint(4, VOCABULARY, (3, 7)).where(visible_BL, 1)
    places_BL = torch.arange(7)
    return Target(
        backbone=backbone,
        classify=classifier,
        pooling=pooling,  # type: ignore[arg-type]
        rows=Rows(input_ids_BL=ids_BL, visible_BL=visible_BL, token_types_BL=torch.zeros_like(ids_BL)),
        selectable_BL=(places_BL > 0) & (places_BL < lengths[:, None] - 1),
        class_B=torch.tensor([0, 2, 1]),
        fill=FillTokens(mask_id=2, pad_id=1),
        max_tokens=max_tokens,
    )


class Embedded(nn.Module):
    """The target as captum wants it: a module from embeddings to logits; repeats of the batch follow each other."""

    def __init__(self, of: Target, *, repeats_together: bool = False) -> None:
        super().__init__()
        self.backbone = of.backbone
        self.of = of
        self.repeats_together = repeats_together

    def forward(self, embeddings: Tensor) -> Tensor:
        index = torch.arange(len(embeddings))
        n = len(self.of.class_B)
        return self.of.logits(embeddings, index // (len(embeddings) // n) if self.repeats_together else index % n)


def words(of: Target) -> Tensor:
    return torch.where(of.selectable_BL, of.selectable_BL.cumsum(1) - 1, -1)


def last_row(of: Target) -> Target:
    """The last of the rows, in a batch of its own."""
    return replace(
        of,
        rows=of.rows.take(torch.tensor([2])),
        selectable_BL=of.selectable_BL[2:],
        class_B=of.class_B[2:],
    )


def embedded(of: Target) -> tuple[Tensor, Tensor]:
    return of.embeddings_BLD.detach(), of.baseline_BLD.detach()


@pytest.mark.parametrize("family", ["bert", "electra", "llama"])
def test_gradients_equal_captums(family: str) -> None:
    of = target(family)
    inputs, _ = embedded(of)
    saliency = Saliency(Embedded(of)).attribute(inputs.clone().requires_grad_(), of.class_B, abs=False)
    product = InputXGradient(Embedded(of)).attribute(inputs.clone().requires_grad_(), of.class_B)
    config = AttributionConfig()
    torch.testing.assert_close(attribute(of, words(of), "grad", config)[0], saliency.norm(dim=-1), atol=1e-6, rtol=1e-5)
    ours = attribute(of, words(of), "input_x_grad", config)[0]
    torch.testing.assert_close(ours, product.sum(-1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"pooling": "abs_sum"}, "abs_sum"),
        ({"pooling": "sum"}, "sum"),
        ({"grad_pooling": "abs_sum"}, "abs_sum"),
        ({"grad_pooling": "abs_sum", "pooling": "norm"}, "norm"),
    ],
)
def test_vectors_become_scores_as_the_settings_say(settings: dict[str, str], expected: str) -> None:
    of, config = target(), AttributionConfig(**settings)  # type: ignore[arg-type]
    inputs, _ = embedded(of)
    vectors = Saliency(Embedded(of)).attribute(inputs.clone().requires_grad_(), of.class_B, abs=False)
    pooled = {"abs_sum": vectors.abs().sum(-1), "sum": vectors.sum(-1), "norm": vectors.norm(dim=-1)}
    scores, gap = attribute(of, words(of), "grad", config)
    torch.testing.assert_close(scores, pooled[expected], atol=1e-6, rtol=1e-5)
    assert gap is None  # slopes need not sum to anything
    if "pooling" not in settings:  # of grad alone
        product = (inputs * vectors).sum(-1)
        torch.testing.assert_close(attribute(of, words(of), "input_x_grad", config)[0], product, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("most", [7, 15, 30])
@pytest.mark.parametrize("attribution", get_args(Attribution))
def test_no_pass_has_more_tokens_than_allowed(attribution: Attribution, most: int) -> None:
    of, sizes = target(max_tokens=most), list[int]()

    def note(_: nn.Module, __: object, inputs: dict[str, Tensor]) -> None:
        given = inputs.get("input_ids")
        sizes.append(inputs["inputs_embeds"][..., 0].numel() if given is None else given.numel())

    of.backbone.register_forward_pre_hook(note, with_kwargs=True)
    attribute(of, words(of), attribution, AttributionConfig(surrogate_samples=12))
    # At least a row goes at once, with deeplift beside its baseline.
    assert max(sizes) <= max(most, 14 if attribution == "deeplift" else 7)


@pytest.mark.parametrize(("rule", "method"), [("midpoint", "riemann_middle"), ("gauss_legendre", "gausslegendre")])
@pytest.mark.parametrize("max_tokens", [16384, 15])  # 15: two rows of 7 at a time
def test_integrated_gradients_equal_captums(rule: str, method: str, max_tokens: int) -> None:
    of = target(max_tokens=max_tokens)
    inputs, baseline = embedded(of)
    theirs = IntegratedGradients(Embedded(of)).attribute(inputs, baseline, of.class_B, n_steps=6, method=method)
    ours = integrated_gradients(of, 6, rule)  # type: ignore[arg-type]
    assert theirs.abs().max() > 0.01
    torch.testing.assert_close(ours, theirs.float(), atol=1e-6, rtol=1e-5)
    assert (ours[~of.selectable_BL] == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_integrated_gradients_are_complete(family: str) -> None:
    of = target(family, spread=0.5)
    gap = completeness_gap(of, integrated_gradients(of, 50, "midpoint"))
    assert gap.max() < 0.01
    coarse = completeness_gap(of, integrated_gradients(of, 1, "midpoint"))
    assert (coarse >= gap).all()
    assert coarse.max() > gap.max() * 2


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_deeplift_equals_captums(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """captum knows ReLU and Tanh (the pooler's); its own rule is given to the GELU module of transformers too."""
    monkeypatch.setitem(captum_deep_lift.SUPPORTED_NON_LINEAR, GELUActivation, captum_deep_lift.nonlinear)
    of = target()
    of.backbone.encoder.layer[0].intermediate.intermediate_act_fn = ACT2CLS[activation]()
    of.backbone.encoder.layer[1].intermediate.intermediate_act_fn = ACT2CLS[activation]()
    of = replace(of, pooling="pooler")
    inputs, baseline = embedded(of)
    slopes = InputXGradient(Embedded(of)).attribute(inputs.clone().requires_grad_(), of.class_B)
    theirs = DeepLift(Embedded(of)).attribute(inputs, baseline, of.class_B)
    ours = deeplift(of)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert (ours - slopes).abs().max() > 1e-2
    torch.testing.assert_close(deeplift(replace(of, max_tokens=1)), ours, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.GELU(), nn.Tanh(), nn.SiLU(), nn.Softplus()])
def test_deeplift_is_complete_where_only_activations_bend(activation: nn.Module) -> None:
    """Between linear maps the rule loses nothing: scores sum to the change of the logit."""
    torch.manual_seed(0)
    of = target()

    class Perceptron(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = of.backbone.config
            self.embeddings = nn.Embedding(VOCABULARY, 16)
            self.layers = nn.Sequential(nn.Linear(16, 16), activation, nn.Linear(16, 16), activation)

        def get_input_embeddings(self) -> nn.Module:
            return self.embeddings

        def forward(self, inputs_embeds: Tensor, **_: Tensor) -> object:
            from transformers.modeling_outputs import BaseModelOutput

            return BaseModelOutput(last_hidden_state=self.layers(inputs_embeds))

    of = replace(of, backbone=Perceptron(), pooling="mean")  # type: ignore[arg-type]
    assert completeness_gap(of, deeplift(of)).max() < 1e-3


def test_gradient_shap_equals_captums_for_the_same_draws() -> None:
    """captum draws by numpy.random (places) and torch (noise); both are replayed."""
    from captum.attr import GradientShap

    of, samples, stdev = target(), 4, 0.2
    inputs, baseline = embedded(of)
    n = len(inputs)
    parts = []
    for row in range(n):  # one row at a time, since captum draws each sample's baseline from all rows
        one = replace(
            of,
            rows=of.rows.take(torch.tensor([row])),
            selectable_BL=of.selectable_BL[row : row + 1],
            class_B=of.class_B[row : row + 1],
        )
        np.random.seed(row)
        torch.manual_seed(row)
        theirs = GradientShap(Embedded(one)).attribute(
            inputs[row : row + 1],
            baseline[row : row + 1],
            n_samples=samples,
            stdevs=stdev,
            target=of.class_B[row : row + 1],
        )
        torch.manual_seed(row)
        noise = torch.normal(0, torch.full((samples, *inputs.shape[1:]), stdev))
        np.random.seed(row)
        np.random.choice(1, samples)  # captum draws which baseline each sample takes
        places = torch.from_numpy(np.random.uniform(0.0, 1.0, samples)).float()
        ours = gradient_shap(one, places[:, None], noise[:, None])
        torch.testing.assert_close(ours, theirs.float(), atol=1e-6, rtol=1e-5)
        parts.append((places, noise, ours))
    together = gradient_shap(of, torch.stack([p for p, _, _ in parts], 1), torch.stack([x for _, x, _ in parts], 1))
    torch.testing.assert_close(together, torch.cat([o for _, _, o in parts]), atol=1e-6, rtol=1e-4)


def test_gradient_shap_draws_for_a_row_do_not_depend_on_its_batch() -> None:
    of = target()
    alone = last_row(of)
    for stdev in (0.0, 0.3):
        config = AttributionConfig(shap_stdev=stdev)
        together = attribute(of, words(of), "gradient_shap", config)[0][2]
        torch.testing.assert_close(attribute(alone, words(alone), "gradient_shap", config)[0][0], together)
    other = attribute(of, words(of), "gradient_shap", AttributionConfig(shap_seed=1))[0]
    assert not torch.allclose(other, attribute(of, words(of), "gradient_shap", AttributionConfig())[0])
    assert draw_shap(of, 4, 0.0, 0)[1] is None


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_tokens", [16384, 8])
def test_integrated_gates_sum_to_what_the_tokens_add(family: str, max_tokens: int) -> None:
    of = target(family, max_tokens=max_tokens)
    scores, gap = integrated_gates(of, 20, "gauss_legendre")
    hidden = of.rows.visible_BL & ~of.selectable_BL
    with torch.no_grad():
        full, nothing = (
            of.of_class(of.classify(encode_pooled(of.backbone, replace(of.rows, visible_BL=visible_BL), of.pooling)))
            for visible_BL in (of.rows.visible_BL, hidden)
        )
    torch.testing.assert_close(scores.sum(1), full - nothing, atol=1e-3, rtol=5e-3)
    torch.testing.assert_close(
        gap.float(), ((scores.sum(1) - full + nothing) / (full - nothing)).abs(), atol=1e-4, rtol=0.1
    )
    assert (scores[~of.selectable_BL] == 0).all()
    assert not any(parameter.grad is not None for parameter in of.backbone.parameters())


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_integrated_gates_read_the_answer_from_one_token_all_the_way(family: str) -> None:
    """Pooling `last` where the last token is a word: hidden, it is still the one that is read."""
    of = target(family)
    of = replace(of, pooling="last", selectable_BL=of.rows.visible_BL & (torch.arange(7) > 0))
    scores, gap = integrated_gates(of, 60, "gauss_legendre")
    with torch.no_grad():
        full = of.logit_of_rows(of.rows, torch.arange(3))
        shut = of.logit_of_rows(replace(of.rows, gates_BL=(~of.selectable_BL).float() + 1e-9), torch.arange(3))
    assert (full - shut).abs().max() > 0.01
    torch.testing.assert_close(scores.sum(1), full - shut, atol=1e-3, rtol=5e-3)
    assert gap.max() < 0.02


def test_integrated_gates_refuse_rows_of_nothing_but_words() -> None:
    of = target("llama")
    with pytest.raises(ValueError, match="the tokenizer adds no special tokens"):
        integrated_gates(replace(of, selectable_BL=of.rows.visible_BL), 3, "midpoint")


def test_the_gradient_by_a_gate_is_that_of_finite_differences() -> None:
    of = target()
    opening = torch.tensor([0.2, 0.5, 0.9])

    def value(rows: Rows) -> Tensor:
        return of.logit_of_rows(rows, torch.arange(3))

    found = gate_gradient(value, of.rows, of.selectable_BL, opening)
    for row, token in of.selectable_BL.nonzero().tolist():
        ends = []
        for step in (1e-2, -1e-2):
            gates = torch.where(of.selectable_BL, opening[:, None], 1.0)
            gates[row, token] += step
            with torch.no_grad():
                ends.append(value(replace(of.rows, gates_BL=gates))[row].item())
        assert found[row, token].item() == pytest.approx((ends[0] - ends[1]) / 2e-2, abs=2e-3, rel=2e-2)
    assert (found[~of.selectable_BL] == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_one_gradient_is_that_of_integrated_gates_with_one_step(family: str) -> None:
    """Its point is .5 ** 3, where a step of the third root weighs 3 * .5 ** 2."""
    of = target(family)
    torch.testing.assert_close(0.75 * gate_gradients(of), integrated_gates(of, 1, "midpoint")[0])
    for most in (16384, 8):
        torch.testing.assert_close(gate_gradients(replace(of, max_tokens=most)), gate_gradients(of))
    bare = gate_gradients(replace(of, selectable_BL=of.rows.visible_BL))  # with no token besides them too
    assert bare[of.rows.visible_BL].abs().min() > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_gradient_under_autocast_is_near_that_of_float32(family: str) -> None:
    of = target(family, spread=0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gate_gradients(of)
    expected = gate_gradients(of)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_from_the_pooled_token(family: str) -> None:
    of = target(family)
    last, rollout = attention_scores(of, "last_layer"), attention_scores(of, "rollout")
    for scores in (last, rollout):
        torch.testing.assert_close(scores.sum(1), torch.ones(3), atol=1e-6, rtol=0)
        assert (scores[~of.rows.visible_BL] == 0).all()
    with eager(of.backbone), torch.no_grad():
        layers = of.backbone(
            input_ids=of.rows.input_ids_BL, attention_mask=of.rows.visible_BL.long(), output_attentions=True
        ).attentions
    n = [int(length) for length in of.rows.visible_BL.sum(1)]
    for row in range(3):
        start = {"first": [0], "mean": range(n[row]), "last": [n[row] - 1]}[of.pooling]
        expected = torch.stack([layers[-1][row, :, q].mean(0) for q in start]).mean(0)
        torch.testing.assert_close(last[row, : n[row]], expected[: n[row]], atol=1e-6, rtol=1e-4)
        half = [0.5 * layer[row].mean(0) + 0.5 * torch.eye(7) for layer in layers]
        flow = torch.stack([(half[1] @ half[0])[q] for q in start]).mean(0)
        torch.testing.assert_close(rollout[row, : n[row]], flow[: n[row]], atol=1e-6, rtol=1e-4)
    assert of.backbone.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("how", ["attention", "mask_token"])
@pytest.mark.parametrize("max_tokens", [16384, 8])
def test_occlusion_hides_one_unit_at_a_time(how: str, max_tokens: int) -> None:
    of = target(max_tokens=max_tokens)
    pairs_BL = torch.where(of.selectable_BL, (of.selectable_BL.cumsum(1) - 1) // 2, -1)
    with torch.no_grad():
        full = of.of_class(of.logits(of.embeddings_BLD))
        for unit, units_BL in (("token", words(of)), ("word", pairs_BL)):
            scores = occlusion(of, pairs_BL, unit, how)  # type: ignore[arg-type]
            for row in range(3):
                for u in range(int(units_BL[row].max()) + 1):
                    hidden = units_BL[row] == u
                    ids, visible = (
                        of.rows.input_ids_BL[row : row + 1].clone(),
                        of.rows.visible_BL[row : row + 1].clone(),
                    )
                    if how == "attention":
                        visible[0, hidden] = False
                    else:
                        ids[0, hidden] = of.fill.mask_id
                    inside = of.backbone(input_ids=ids, attention_mask=visible.long()).last_hidden_state[:, 0]
                    fall = full[row] - of.classify(inside)[0, of.class_B[row]]
                    torch.testing.assert_close(
                        scores[row, hidden], fall.expand(int(hidden.sum())), atol=1e-6, rtol=1e-4
                    )
            assert (scores[~of.selectable_BL] == 0).all()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("how", ["grad", "input_x_grad"])
def test_scores_in_training_carry_a_second_derivative(family: str, how: str) -> None:
    """The gradient of a loss on the scores, by a weight deep in the encoder, against finite differences in float64."""
    of = target(family)
    of.backbone.double()
    of.classify.double()  # type: ignore[attr-defined]
    parameter = next(p for name, p in of.backbone.named_parameters() if p.dim() > 1 and "embed" not in name)

    def loss() -> Tensor:
        logits, scores = with_logits(of, how, "auto", None, train_scores=True)  # type: ignore[arg-type]
        return (scores.double().tanh() * of.selectable_BL).sum() + 0.1 * logits.sum()

    loss().backward()
    assert parameter.grad is not None
    place = divmod(int(parameter.grad.abs().argmax()), parameter.shape[1])
    step = 1e-4
    with torch.no_grad():
        parameter[place] += step
        up = loss_value(loss)
        parameter[place] -= 2 * step
        down = loss_value(loss)
        parameter[place] += step
    assert parameter.grad[place].item() == pytest.approx((up - down) / (2 * step), rel=2e-2, abs=1e-3)


def loss_value(loss: object) -> float:
    with torch.enable_grad():
        return float(loss().detach())  # type: ignore[operator]


def test_scores_without_second_derivative_are_constants_of_the_same_value() -> None:
    of = target()
    _, trained = with_logits(of, "input_x_grad", "sum", None, train_scores=True)
    logits, constant = with_logits(of, "input_x_grad", "sum", None, train_scores=False)
    assert trained.requires_grad
    assert not constant.requires_grad
    assert logits.requires_grad
    torch.testing.assert_close(trained, constant, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(constant, attribute(of, words(of), "input_x_grad", AttributionConfig())[0])


def test_a_head_pools_vectors() -> None:
    of, head = target(), VectorHead(ScoreHead(16, "mlp", 8, 2))
    scores = attribute(of, words(of), "input_x_grad", AttributionConfig(), head)[0]
    inputs, _ = embedded(of)
    product = InputXGradient(Embedded(of)).attribute(inputs.clone().requires_grad_(), of.class_B)
    torch.testing.assert_close(scores, head(product).detach(), atol=1e-6, rtol=1e-4)


def test_scores_are_told_apart_under_autocast() -> None:
    head, hidden = ScoreHead(16, "mlp", 8, 2), torch.randn(1, 4000, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = head(hidden)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, head(hidden), atol=0.02, rtol=0.05)
    assert len(scores.unique()) > 3000  # rounded to bfloat16 there are a few hundred


def test_elementwise_knows_every_activation_of_transformers() -> None:
    for entry in ACT2CLS.values():
        assert issubclass(entry[0] if isinstance(entry, tuple) else entry, ELEMENTWISE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ig_steps": 0}, "method.attribution_settings.ig_steps is 0"),
        ({"shap_stdev": -1.0}, "method.attribution_settings.shap_stdev is -1.0"),
    ],
)
def test_bad_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AttributionConfig(**settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"method.attribution is 'ig', expected grad or input_x_grad"):
        with_logits(target(), "ig", "auto", None, train_scores=True)
