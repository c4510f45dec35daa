"""The fused kernels for gates, and linear layers on visible tokens: the outputs and gradients of the plain way."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from reference.gates import gated_attention
from test_backbone import backbone, random_rows
from test_families import EXCHANGED, build, rows_of
from unirex.encoder import backbone as passes
from unirex.encoder import fused_gates, gates
from unirex.encoder.backbone import encode_pooled
from unirex.encoder.families import usual_pooling
from unirex.encoder.fused_gates import Kernels, fused_gated_attention, visible
from unirex.encoder.visible_linear import VisibleLinear


def states(*shape: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


def uneven(n_rows: int, length: int) -> torch.Tensor:
    """Gates of rows of which from one token to all are visible."""
    shares = torch.linspace(0, 1, n_rows)[:, None]
    hidden = torch.rand(n_rows, length, generator=torch.Generator().manual_seed(1)) > shares
    hidden[:, 0] = False
    return (~hidden).float()


def both(monkeypatch: pytest.MonkeyPatch, call, *leaves: torch.Tensor) -> list[list[torch.Tensor]]:  # type: ignore[no-untyped-def]
    """Output and gradients by the fused kernels, then without them."""
    found = []
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(gates, "visible", lambda _: [])
        output = call()
        probe = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
        gradients = torch.autograd.grad((output.float() * probe).sum(), leaves, allow_unused=True)
        found.append([output, *(x for x in gradients if x is not None)])
    monkeypatch.undo()
    return found


@pytest.mark.parametrize("length", [7, 40, 600])
def test_fused_attention_has_outputs_and_gradients_of_the_plain_one(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """600 tokens: hidden ones are gone through in more than one block. All rows are read, hidden tokens' too."""
    query, key, value = states(5, 2, length, 6)
    gate = uneven(5, length).requires_grad_()
    assert len(visible(gate)) == 2
    leaves = query, key, value, gate
    fused, plain = both(monkeypatch, lambda: gated_attention(query, key, value, gate, None, 0.4), *leaves)
    for x, y in zip(fused, plain, strict=True):
        torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-4)


def test_hidden_tokens_that_nothing_reads_and_gates_between_0_and_1(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = states(4, 3, 30, 8)
    gate = (uneven(4, 30) * torch.linspace(0.1, 1, 30)).requires_grad_()
    seen = (gate > 0)[:, None, :, None]
    leaves = query, key, value, gate
    fused, plain = both(monkeypatch, lambda: gated_attention(query, key, value, gate, None, 0.4) * seen, *leaves)
    for x, y in zip(fused, plain, strict=True):
        torch.testing.assert_close(x, y, atol=2e-5, rtol=1e-4)


def test_a_mask_of_padding_is_one_with_the_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padded tokens are left out, and their gates get nothing."""
    query, key, value = states(4, 2, 20, 8)
    gate = uneven(4, 20).requires_grad_()
    mask = (torch.arange(20) < torch.tensor([20, 15, 9, 3])[:, None])[:, None, None]
    wide = mask.expand(4, 1, 20, 20)
    calls = []
    monkeypatch.setattr(gates, "fused_gated_attention", lambda *a: calls.append(a) or fused_gated_attention(*a))
    leaves = query, key, value, gate
    fused, plain = both(monkeypatch, lambda: gated_attention(query, key, value, gate, wide, 0.4), *leaves)
    assert calls, "the plain attention was used for a mask of padding"
    for x, y in zip(fused, plain, strict=True):
        torch.testing.assert_close(x, y, atol=2e-5, rtol=1e-4)
    assert (fused[-1][~mask[:, 0, 0]] == 0).all()


def test_half_precision_keeps_the_gates_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = states(4, 2, 60, 16, dtype=torch.bfloat16)
    gate = uneven(4, 60).requires_grad_()
    leaves = query, key, value, gate
    fused, plain = both(monkeypatch, lambda: gated_attention(query, key, value, gate, None, 0.25), *leaves)
    for x, y in zip(fused, plain, strict=True):
        assert torch.cosine_similarity(x.float().flatten(), y.float().flatten(), dim=0) > 0.999


def test_a_mask_without_heads_is_a_mask_of_pairs() -> None:
    query, key, value = states(2, 2, 1, 4)
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert torch.equal(gated_attention(query, key, value, torch.ones(2, 1), mask, 0.5), value)


@pytest.mark.parametrize("case", ["nothing is seen", "dropout", "a mask of pairs"])
def test_what_the_kernels_cannot_do_takes_the_plain_way(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> torch.Tensor:
        raise AssertionError

    monkeypatch.setattr(gates, "fused_gated_attention", never)
    query, key, value = states(2, 2, 9, 4)
    gate = torch.ones(2, 9)
    if case == "nothing is seen":
        gate[1] = 0
    mask = torch.ones(9, 9, dtype=torch.bool).tril()[None, None] if case == "a mask of pairs" else None
    output = gated_attention(query, key, value, gate, mask, 0.5, 0.5 if case == "dropout" else 0.0)
    assert torch.isfinite(output).all()
    if case == "nothing is seen":
        assert (output[1] == 0).all()


@pytest.mark.parametrize("model_type", ["bert", "roberta", "modernbert", "llama"])
@pytest.mark.parametrize("pooling", ["first", "mean", "last", "pooler"])
def test_a_backbone_has_the_gradients_of_plain_gates_and_layers(
    model_type: str, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every weight and every gate, with padding and hidden tokens in the rows, and the first token hidden in one."""
    if pooling == "pooler" and model_type in ("modernbert", "llama"):
        pytest.skip("no pooler")
    model, rows = backbone(model_type), random_rows()
    gate = rows.visible_BL.float()
    gate[2, 0] = 0
    gate.requires_grad_()
    inside = torch.arange(20) < torch.tensor([20, 18, 12, 20, 7, 9, 20])[:, None]
    whole = replace(rows, visible_BL=inside, gates_BL=gate)
    names, weights = zip(*model.named_parameters(), strict=True)

    def run() -> torch.Tensor:
        return encode_pooled(model, whole, pooling)  # type: ignore[arg-type]

    entered = []
    enter = VisibleLinear.__init__
    monkeypatch.setattr(VisibleLinear, "__init__", lambda self, gate: entered.append(gate) or enter(self, gate))  # type: ignore[func-returns-value]
    quick = torch.autograd.grad(run().square().sum(), [gate, *weights], allow_unused=True)
    assert entered
    monkeypatch.setattr(passes, "VisibleLinear", lambda _: nullcontext())
    monkeypatch.setattr(gates, "visible", lambda _: [])
    plain = torch.autograd.grad(run().square().sum(), [gate, *weights], allow_unused=True)
    for name, x, y in zip(["gate", *names], quick, plain, strict=True):
        assert (x is None) == (y is None), name
        if x is not None and y is not None:
            torch.testing.assert_close(x, y, atol=5e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_linear_layers_leave_hidden_tokens_out_of_the_backward_pass() -> None:
    layer, inputs = torch.nn.Linear(3, 2), torch.randn(2, 4, 3, requires_grad=True)
    gate = torch.tensor([[0.0, 1, 0, 1], [1, 0, 1, 0]])
    with VisibleLinear(gate):
        output = layer(inputs)
    assert torch.equal(output, layer(inputs))
    (found,) = torch.autograd.grad(output.sum(), inputs)
    shown = (gate > 0) | (torch.arange(4) == 0)
    assert torch.allclose(found[shown], layer.weight.sum(0).expand(5, 3))
    assert (found[~shown] == 0).all()


@pytest.mark.parametrize("kind", EXCHANGED)
def test_every_family_has_the_gradients_of_plain_gates_and_layers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, (rows, gate) = build(kind).double(), rows_of()
    gate = gate.double().requires_grad_()
    pooling = usual_pooling(model.config)
    leaves = [gate, *model.parameters()]

    def gradients() -> list[torch.Tensor | None]:
        pooled = encode_pooled(model, replace(rows, gates_BL=gate), pooling)
        return list(torch.autograd.grad(pooled.square().sum(), leaves, allow_unused=True))

    quick = gradients()
    monkeypatch.setattr(passes, "VisibleLinear", lambda _: nullcontext())
    for x, y in zip(quick, gradients(), strict=True):
        assert (x is None) == (y is None)
        if x is not None and y is not None:
            assert (x - y).norm() <= 1e-6 * y.norm() + 1e-9


def as_cuda_does(query, key, value, attn_bias, compute_log_sumexp, dropout_p=0.0, is_causal=False, *, scale):  # type: ignore[no-untyped-def]
    """What the memory-efficient kernel of CUDA is documented to do, with its demands, by plain operations."""
    assert (compute_log_sumexp, dropout_p, is_causal) == (True, 0.0, False)
    n_queries, n_keys = query.shape[2], key.shape[2]
    assert attn_bias.shape == (*query.shape[:3], n_keys)
    assert all(stride % 16 == 0 for stride in attn_bias.stride()[:3])
    scores = query.float() @ key.float().transpose(-1, -2) * scale + attn_bias.float()
    total = torch.logsumexp(scores, -1)  # float32, whatever the states are
    sums = torch.nn.functional.pad(total, (0, -n_queries % 32), value=torch.inf)
    return ((scores - total[..., None]).exp() @ value.float()).to(value.dtype), sums, torch.zeros(()), torch.zeros(())


def as_cuda_does_backward(
    grad, query, key, value, attn_bias, out, logsumexp, seed, offset, p, wanted, causal, *, scale
):  # type: ignore[no-untyped-def]
    assert (p, wanted, causal) == (0.0, [True, True, True, False], False)
    assert logsumexp.shape[-1] % 32 == 0
    assert all(stride % 16 == 0 for stride in attn_bias.stride()[:3])
    scores = query @ key.transpose(-1, -2) * scale + attn_bias
    weight = (scores - logsumexp[..., : query.shape[2], None]).exp()
    by_weight = grad @ value.transpose(-1, -2)
    by_score = weight * (by_weight - (grad * out).sum(-1, keepdim=True)) * scale
    return by_score @ key, by_score.transpose(-1, -2) @ query, weight.transpose(-1, -2) @ grad, None


@pytest.fixture
def cuda_kernels(monkeypatch: pytest.MonkeyPatch) -> Kernels:
    """Those of CUDA, over plain operations on the CPU."""
    name = "_scaled_dot_product_efficient_attention"
    ops = SimpleNamespace(**{name: as_cuda_does, f"{name}_backward": as_cuda_does_backward})
    monkeypatch.setattr(fused_gates, "torch", _Proxy(torch, ops=SimpleNamespace(aten=ops)))
    made = fused_gates._on_cuda()
    monkeypatch.undo()
    return made


class _Proxy:
    """A module with some names replaced."""

    def __init__(self, module: object, **replaced: object) -> None:
        self.__dict__.update(replaced)
        self._module = module

    def __getattr__(self, name: str) -> object:
        return getattr(self._module, name)


@pytest.mark.parametrize("length", [7, 40])
def test_the_calls_for_cuda_have_outputs_and_gradients_of_the_plain_way(
    length: int, cuda_kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, key, value = states(5, 2, length, 8)
    gate = uneven(5, length).requires_grad_()
    leaves = query, key, value, gate
    _, plain = both(monkeypatch, lambda: gated_attention(query, key, value, gate, None, 0.4), *leaves)
    monkeypatch.setitem(fused_gates.KERNELS, "cpu", cuda_kernels)
    fused, _ = both(monkeypatch, lambda: gated_attention(query, key, value, gate, None, 0.4), *leaves)
    for x, y in zip(fused, plain, strict=True):
        torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-4)


def test_torch_takes_the_calls_for_cuda() -> None:
    """Order, types and shapes of arguments, by torch's own rules for tensors without content."""
    shape, n_keys = (2, 3, 40, 16), 23
    query, key, value = (torch.empty(*shape[:2], n, 16, device="meta") for n in (40, n_keys, n_keys))
    bias = torch.empty(2, 1, 1, n_keys, device="meta")
    kernels = fused_gates.KERNELS["cuda"]
    output, total = kernels.forward(query, key, value, bias, 0.25)
    assert (output.shape, total.shape) == (shape, shape[:3])
    grads = kernels.backward(torch.empty_like(output), query, key, value, bias, output, total, 0.25)
    assert [x.shape for x in grads] == [x.shape for x in (query, key, value)]


def test_a_device_is_trusted_only_if_it_agrees(cuda_kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
        by_query, by_key, by_value = cuda_kernels.backward(*arguments)
        return by_query, by_key, by_value * 1.1

    def absent(*_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise RuntimeError("no kernel found")

    # On the CPU, under a name of CUDA's that leads there.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    for kernels, agrees in (
        (cuda_kernels, True),
        (replace(cuda_kernels, backward=wrong), False),
        (replace(cuda_kernels, forward=absent), False),
    ):
        monkeypatch.setitem(fused_gates.KERNELS, "cpu", kernels)
        with torch.inference_mode():
            assert gates.trusted.__wrapped__("cpu:0", torch.float32, 16) is agrees
            assert gates.trusted.__wrapped__("cpu:0", torch.bfloat16, 16) is agrees


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_in_float32_has_outputs_and_gradients_of_the_cpu() -> None:
    assert gates.trusted("cuda", torch.float32, 16)
    found = []
    for device in ("cpu", "cuda"):
        query, key, value = (x.detach().to(device).requires_grad_() for x in states(5, 2, 600, 16))
        gate = uneven(5, 600).to(device).requires_grad_()
        output = gated_attention(query, key, value, gate, None, 0.25)
        grads = torch.autograd.grad((output * output.detach().cos()).sum(), (query, key, value, gate))
        found.append([x.cpu() for x in (output, *grads)])
    for x, y in zip(*found, strict=True):
        torch.testing.assert_close(x, y, atol=1e-3, rtol=1e-3)
