"""Every training mode: a batch may be cut anyhow, no weight is left out, saved models come back equal."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reference.method_worlds import CASES, counts_of, data, method_of, stages_of
from unirex.config.run import TrainConfig
from unirex.data.collate import Batch
from unirex.encoder import gates
from unirex.extractors.attribution import attribute
from unirex.extractors.head import ScoreHead
from unirex.extractors.settings import AttributionConfig
from unirex.judging.predict import EvalConfig, Judging, predict, sources
from unirex.judging.saved import Attributed
from unirex.methods import METHODS
from unirex.methods.joint import Joint, standardised
from unirex.methods.method import saved_config
from unirex.modeling import UnirexModel
from unirex.training.optimizer import adamw


def backward(method: Any, parts: list[np.ndarray], choices: bool = False) -> tuple[dict[str, float], dict[str, Any]]:
    """Terms and gradients of a global batch that is cut into parts."""
    method.zero_grad()
    batches = [data(choices=choices).collate(part) for part in parts]
    sums: dict[str, float] = {}
    for batch in batches:
        terms = method(batch, counts_of(*batches), 3)
        sum(method.weights[name] * term for name, term in terms.items()).backward()
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + term.item()
    return sums, {name: p.grad for name, p in method.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("choices", [False, True], ids=["single", "choices"])
@pytest.mark.parametrize("case", CASES)
def test_a_batch_may_be_cut_anyhow_and_no_weight_is_left_out(case: str, choices: bool) -> None:
    for stage in stages_of(method_of(case)):
        method = method_of(case, choices=choices)
        if stage is not None:
            method.enter(stage)
        method.train()
        terms, gradients = backward(method, [np.arange(6)], choices)
        # The second part holds one instance, without gold.
        parts, part_gradients = backward(method, [np.array([0, 2, 3, 4, 5]), np.array([1])], choices)
        assert terms.keys() == parts.keys()
        for name, value in terms.items():
            assert np.isfinite(value)
            assert parts[name] == pytest.approx(value, rel=1e-4, abs=1e-6), (stage, name)
        for name, gradient in gradients.items():
            assert gradient is not None, (stage, name)
            # A bias of keys, of scores or of the answer among choices shifts what is compared all alike.
            assert name.endswith("bias") or gradient.abs().max() > 0, (stage, name)
            torch.testing.assert_close(part_gradients[name], gradient, atol=2e-5, rtol=1e-3)


@dataclass(frozen=True)
class Part:
    """A part of the settings below."""

    gain: float = 1.0
    of: "Part | None" = None


@dataclass(frozen=True)
class Settings:
    """Settings of a method of one's own, of every kind that JSON holds."""

    one: Part | None = None
    parts: tuple[Part, ...] = ()
    named: dict[str, Part] | None = None
    numbers: list[float] = field(default_factory=list)
    pair: tuple[Part, int] = (Part(), 0)
    either: str | tuple[str, ...] | None = None
    free: dict[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(one=Part(2.0, of=Part()), parts=(Part(3.0), Part()), named={"a": Part(4.0)}, numbers=[1.0]),
        Settings(pair=(Part(5.0), 1), either=("a", "b"), free={"deep": {"numbers": (1, 2)}}),
        Settings(either="a"),
    ],
)
def test_settings_come_back_from_json_as_they_were(settings: Settings) -> None:
    assert saved_config(Settings, json.loads(json.dumps(asdict(settings)))) == settings


@pytest.mark.parametrize("case", CASES)
def test_a_saved_model_explains_as_before(case: str, tmp_path: Path) -> None:
    method = method_of(case, dropout=0.1).eval()
    method.model.save_pretrained(tmp_path)
    model = UnirexModel.from_pretrained(tmp_path)
    settings = asdict(method.config)
    config = saved_config(type(method.config), {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()})
    assert config == method.config
    again = METHODS[CASES[case][0]](model, config, method.fill).eval()
    judging = Judging(
        config=EvalConfig(references=()), unit="token", word_score="max", rationale_fraction=0.25,
        labels=("a", "b", "c"), sources=sources(method, EvalConfig(references=("random",))),
    )  # fmt: skip
    before, after = predict(method, data(), judging), predict(again, data(), judging)
    assert set(before) == set(judging.sources)
    for source, rows in before.items():
        assert len(rows) == 6
        for (place, row), (other_place, other) in zip(rows, after[source], strict=True):
            assert place == other_place
            np.testing.assert_array_equal(row.scores, other.scores)
            np.testing.assert_array_equal(row.probabilities, other.probabilities)
            assert np.isfinite(row.scores).all()


def test_attributions_asked_of_a_fresh_model_are_those_of_the_model_that_answers() -> None:
    method, batch = method_of("fresh").eval(), data().collate(np.arange(6))
    settings = AttributionConfig()
    found = Attributed(method, "input_x_grad", settings).explain(batch)
    torch.testing.assert_close(found.logits_IC, method.model.full(batch)[0])
    target = method.model.target(batch, found.logits_IC.argmax(1), settings.max_tokens, method.fill)
    assert target.backbone is method.model.backbone
    expected, _ = attribute(target, batch.words_BL, "input_x_grad", settings)
    torch.testing.assert_close(found.scores_BL, expected)
    other = method.support.attributions(batch, found.logits_IC, "input_x_grad", settings, method.fill)[0]
    assert not torch.allclose(found.scores_BL, other)


@pytest.mark.parametrize("extractor", ["slm_fp_guided", "dlm_fp_guided"])
@pytest.mark.parametrize("choices", [False, True], ids=["single", "choices"])
def test_a_gradient_leads_the_scores_of_an_extractor(extractor: str, choices: bool) -> None:
    """The definition by hand: each row's two kinds of scores, less their mean, over their deviation."""
    method, batch = method_of(extractor, choices=choices).eval(), data(choices=choices).collate(np.arange(6))
    with torch.no_grad():
        found = method.explain(batch)
        logits, own = method.model.full(batch)
    torch.testing.assert_close(found.logits_IC, logits)
    # Of the answer: its logit, or among choices, of which the logits of all rows decide, its log probability.
    gates_BL = torch.where(batch.selectable_BL, 0.125, 1.0).requires_grad_()
    gated_IC = method.model.perturbed(replace(batch.rows, gates_BL=gates_BL), batch.n_choices)
    value_IC = gated_IC.log_softmax(1) if choices else gated_IC
    led = torch.autograd.grad(value_IC.gather(1, logits.argmax(1)[:, None]).sum(), gates_BL)[0]
    for row, inside in enumerate(batch.selectable_BL.numpy()):
        scores = [one[row].double().numpy()[inside] for one in (own, led)]
        first, second = ((one - one.mean()) / (one.std() if len(one) > 1 else 1) for one in scores)
        np.testing.assert_allclose(found.scores_BL[row].numpy()[inside], first + 0.3 * second, atol=1e-3)
    assert method.scores_from == "extractor and gradient"


def test_the_gradient_that_leads_is_taken_of_as_many_tokens_at_once_as_the_setting_allows() -> None:
    method, batch, sizes = method_of("slm_fp_guided").eval(), data().collate(np.arange(6)), list[int]()

    def note(_: object, __: object, inputs: dict[str, Any]) -> None:
        if "gate" in inputs:
            sizes.append(inputs["input_ids"].numel())

    method.model.backbone.register_forward_pre_hook(note, with_kwargs=True)
    whole = method.explain(batch).scores_BL
    assert max(sizes) > 20
    sizes.clear()
    method.config = replace(method.config, attribution_settings=AttributionConfig(max_tokens=20))
    torch.testing.assert_close(method.explain(batch).scores_BL, whole, rtol=1e-3, atol=1e-4)
    assert max(sizes) <= 20


def test_equal_scores_lead_nowhere() -> None:
    scores = torch.tensor([[0.1, 0.1, 0.1, 9.0], [1e-3, 2e-3, 9.0, 9.0], [5.0, 9.0, 9.0, 9.0]])
    selectable = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)
    expected = torch.tensor([[0.0, 0.0, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(standardised(scores, selectable), expected)
    nothing = standardised(scores, torch.zeros_like(selectable))
    assert (nothing == 0).all()
    for n in range(1, 40):  # also where rounding takes their mean away from them
        equal = torch.full((1, n), 0.1 * n)
        assert (standardised(equal, torch.ones(1, n, dtype=torch.bool)) == 0).all(), n


@pytest.mark.parametrize("case", ["slm_fp", "dlm_fp"])
def test_a_gradient_is_refused_where_attention_cannot_be_gated(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = method_of(case)
    monkeypatch.setitem(gates._FORBIDDEN, "bert", "as a test wants it")
    with pytest.raises(ValueError, match=r"attention cannot be gated.*as a test wants it"):
        Joint(method.model, replace(method.config, gradient_weight=0.5), method.fill)


@pytest.mark.parametrize("case", CASES)
def test_scores_do_not_depend_on_the_batch_around(case: str) -> None:
    method = method_of(case).eval()
    with torch.no_grad():
        together = method.explain(data().collate(np.arange(6)))
        for i in range(6):
            batch = data().collate(np.array([i]))
            alone, width = method.explain(batch), batch.words_BL.shape[1]
            torch.testing.assert_close(alone.logits_IC[0], together.logits_IC[i], atol=1e-5, rtol=1e-4)
            inside = batch.selectable_BL[0]
            torch.testing.assert_close(
                alone.scores_BL[0][inside], together.scores_BL[i, :width][inside], atol=1e-5, rtol=1e-3
            )


@pytest.mark.parametrize("case", ["fresh", "fresh_p", "l2e"])
def test_a_stage_leaves_the_other_models_weights_alone(case: str) -> None:
    method = method_of(case)
    first, second = (stage.name for stage in method.stages)
    trained = {}
    for stage in (first, second):
        method.enter(stage)
        trained[stage] = {name for name, p in method.named_parameters() if p.requires_grad}
    assert not trained[first] & trained[second]
    assert len(trained[first]) > 20
    assert len(trained[second]) > 20
    method.train()
    frozen = method.model.extractor if case.startswith("fresh") else method.model.backbone
    assert not any(module.training for module in frozen.modules())


@pytest.mark.parametrize(
    ("case", "stage", "ask"), [("fresh", "predictor", "_of_support"), ("l2e", "explainer", "_classes")]
)
def test_a_frozen_model_is_asked_about_each_row_once(
    case: str, stage: str, ask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, batch, asked = method_of(case), data().collate(np.arange(6)), []
    method.enter(stage)
    answer = getattr(method, ask)

    def counted(rows: Batch) -> Any:
        asked.append(len(rows.labels_I))
        return answer(rows)

    monkeypatch.setattr(method, ask, counted)
    ((name, whole),) = method(batch, counts_of(batch), 0).items()
    parts = [method(data().collate(np.array(rows)), counts_of(batch), 0)[name] for rows in ([3, 1], [0, 5, 2, 4])]
    assert asked == [6]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-4)
    method.enter(stage)
    method(batch, counts_of(batch), 0)
    assert asked == [6, 6]


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("slm_fp", {"comp": 0.2, "suff": 0.3, "plaus": 0.4, "mask": 0.6}),
        ("sgt_p", {"comp": 0.0, "suff": 0.3, "plaus": 0.4, "mask": 0.6}),
        ("fresh_p", {"plaus": 0.4}),
        ("a2r", {"soft": 0.2, "gap": 0.3, "plaus": 0.4}),
        ("mcd", {"keep": 0.2, "coherence": 0.3, "plaus": 0.4, "dependence": 0.6}),
        ("n2r", {"keep": 0.2, "coherence": 0.3, "plaus": 0.4, "select": 0.6, "norm": 0.7}),
        ("rtp", {"keep": 0.2, "remove": 0.3, "plaus": 0.4, "size": 0.6, "coherence": 0.7}),
        ("l2e", {}),
    ],
)
def test_each_term_counts_for_what_its_setting_says(case: str, settings: dict[str, float]) -> None:
    method = method_of(case)
    method.config = replace(method.config, **{f"{name}_weight": value for name, value in settings.items()})
    assert method.weights == {"task": 1.0, **({"distil": 1.0} if case == "l2e" else {}), **settings}


@pytest.mark.parametrize(
    ("case", "settings", "message"),
    [
        ("sgt", {"comp_weight": 0.5}, "method.comp_weight is 0.5, expected 0 for sgt"),
        ("fresh", {"fraction": 0.0}, "method.fraction is 0.0, expected more than 0 and at most 1"),
        ("fresh", {"support_epochs": 0}, "method.support_epochs is 0, expected at least 1"),
        ("a2r", {"gap_weight": -1.0}, "method.gap_weight is -1.0"),
        ("a2r", {"gap_weight": 0.0, "soft_weight": 0.0}, "expected one of them to train the scores"),
        ("a2r", {"fractions": (0.5, 0.2)}, "method.fractions is (0.5, 0.2), expected ascending values"),
        ("mcd", {"estimator": "hard"}, "method.estimator is 'hard', expected another one"),
        ("n2r", {"select_weight": 0.0, "norm_weight": 0.0}, "expected one of them to train scores"),
        ("mcd", {"dependence_weight": 0.0}, "expected more, or a method.plaus_weight that trains scores"),
        ("rtp", {"keep_weight": 0.0, "remove_weight": 0.0}, "expected one of them to train the mask"),
        ("l2e", {"task_epochs": 0}, "method.task_epochs is 0"),
        ("joint", {"comp_target": 0.2}, "method.comp_target is 0.2, expected null with comp_criterion margin"),
        ("joint", {"comp_trains": "extractor"}, "method.comp_trains is 'extractor', expected 'both' with estimator"),
        (
            "joint",
            {"comp_trains": "extractor", "estimator": "imle", "comp_weight": 0.0},
            "method.comp_trains is 'extractor', expected 'both' with comp_weight 0",
        ),
        ("joint", {"ramp": 0.5, "comp_weight": 0.0, "suff_weight": 0.0}, "method.ramp is 0.5, expected 0"),
        ("joint", {"imle_step": 0.0}, "method.imle_step is 0.0, expected a finite number above 0"),
        ("joint", {"estimator": "perturbed", "noise": 0.0}, "method.noise is 0, expected more"),
    ],
)
def test_bad_settings(case: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        METHODS[case].config_class(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("case", "settings", "message"),
    [
        ("slm_p", {"plaus_weight": 0.0}, "method.plaus_weight is 0, expected more"),
        (
            "slm_p",
            {"plaus_weight": 0.0, "estimator": "logistic", "comp_weight": 0.0, "suff_weight": 0.0},
            "method.plaus_weight is 0, expected more",
        ),
        ("aa", {"estimator": "logistic"}, "method.estimator is 'logistic', expected hard with model.extractor none"),
        ("aa_f", {"estimator": "logistic", "comp_trains": "extractor"}, "expected 'both' with model.extractor attr"),
    ],
)
def test_settings_that_would_train_nothing_are_refused(case: str, settings: dict[str, Any], message: str) -> None:
    method = method_of(case)
    with pytest.raises(ValueError, match=r".") as caught:
        METHODS["joint"](method.model, METHODS["joint"].config_class(**settings), method.fill)
    assert message in str(caught.value)


def test_plausibility_needs_an_attribution_that_can_be_trained() -> None:
    method = method_of("aa_fp")
    config = METHODS["joint"].config_class(attribution="ig")
    with pytest.raises(ValueError, match=r"method.attribution is 'ig', expected grad or input_x_grad"):
        METHODS["joint"](method.model, config, method.fill)


@pytest.mark.parametrize(
    ("case", "settings", "moves"),
    [
        ("slm_fp_ranking", {}, False),
        ("slm_fp_logistic", {"plaus_criterion": "kl"}, False),
        ("dlm_fp_logistic", {"plaus_weight": 0.0}, False),
        ("aa_fp_mlp", {"plaus_criterion": "ranking"}, False),
        ("a2r", {"plaus_criterion": "bce"}, False),  # of weight 0
        ("a2r_p", {"plaus_criterion": "ranking"}, False),
        ("fresh_p", {"plaus_criterion": "ranking"}, False),
        ("mcd", {}, False),
        ("a2r_p", {}, True),
        ("n2r", {}, False),
        ("mcd_p", {}, True),
        ("rtp", {}, True),
        ("slm_fp_logistic", {}, True),
        ("slm_fp_logistic", {"plaus_criterion": "ranking", "unit": "word", "word_score": "sum"}, True),
    ],
)
def test_a_bias_that_no_loss_reads_stays_where_it_is(case: str, settings: dict[str, Any], moves: bool) -> None:
    """Adam makes steps of the learning rate's length of whatever the rounding of its gradient is."""
    method = method_of(case)
    method = type(method)(method.model, replace(method.config, **settings), method.fill)
    if stages_of(method)[0] is not None:
        method.enter(stages_of(method)[0])
    optimizer = adamw(method, TrainConfig(lr=0.01))
    last = next(module for module in method.model.modules() if isinstance(module, ScoreHead)).layers[-1]
    before = {name: parameter.detach().clone() for name, parameter in last.named_parameters()}
    for _ in range(3):
        backward(method, [np.arange(6)])
        optimizer.step()
    assert torch.equal(last.bias, before["bias"]) != moves
    assert not torch.equal(last.weight, before["weight"])
