"""Muon is PyTorch's, and a model that it shares with AdamW trains, stops and goes on as any other."""

import copy
from dataclasses import replace
from functools import partial

import pytest

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))

import torch

from ch05_01_main_chapter_code.arguments import TrainConfig, train_arguments
from ch05_01_main_chapter_code.muon import Muon, Together, orthogonal
from ch05_01_main_chapter_code.previous_chapters import GPT, GPTConfig, TokenDataset
from ch05_01_main_chapter_code.training import (
    MUON_SHARE,
    PRETRAINING,
    make_optimizer,
    suited_rate,
    train,
    update,
)

SHAPES = [(24, 24), (64, 16), (16, 64), (1, 8), (40, 39)]
SHORT = TrainConfig(steps=20, batch_size=4, lr=3e-2, warmup=3, device="cpu", optimizer="muon")
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def tiny_model(seed=3):
    torch.manual_seed(seed)
    return GPT(GPTConfig(64, 32, emb_dim=16, n_heads=2, n_layers=2, init_std=0.1))


def dataset():
    return TokenDataset(torch.arange(800) % 61, 32)


def steps(optimizer, weights, gradients):
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
    return [weight.detach() for weight in weights]


def given(shapes, count=6):
    """Weights of these shapes, and gradients for so many steps."""
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    return weights, [[torch.randn(shape) for shape in shapes] for _ in range(count)]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="an older torch has no Muon")
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.95, 0.5])
def test_it_is_pytorchs(nesterov, weight_decay, momentum):
    """Compared in bfloat16, in which theirs always computes."""
    weights, gradients = given(SHAPES)
    settings = dict(lr=0.02, nesterov=nesterov, weight_decay=weight_decay, momentum=momentum)
    twins = copy.deepcopy(weights)
    ours = steps(Muon(weights, dtype=torch.bfloat16, **settings), weights, gradients)
    theirs = steps(torch.optim.Muon(twins, **settings), twins, gradients)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_float32_comes_to_what_bfloat16_comes_to():
    """On a CPU; the iteration goes on rounding errors of bfloat16, so a step differs by a few percent."""
    matrix = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
    exact, rounded = orthogonal(matrix, dtype=torch.float32), orthogonal(matrix).float()
    assert (exact - rounded).norm() < 0.03 * exact.norm()
    weights, gradients = given([(8, 8)], count=1)
    before = weights[0].detach().clone()
    after = steps(Muon(weights, nesterov=False), weights, gradients)[0]
    expected = before - 0.02 * orthogonal(gradients[0][0], dtype=torch.float32)
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (128, 32)])
def test_a_step_is_nearly_orthogonal_and_keeps_the_directions(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    step = orthogonal(1e-4 * matrix, dtype=torch.float32)
    assert step.shape == shape
    values = torch.linalg.svdvals(step)
    assert 0.65 < values.min() and values.max() < 1.25
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    turned = u.T @ step @ v.T
    assert (turned - turned.diag().diag()).abs().max() < 1e-4


def test_parts_are_made_orthogonal_apart():
    weights, gradients = given([(48, 16)])
    apart = [torch.nn.Parameter(part.clone()) for part in weights[0].detach().chunk(3)]
    twin = copy.deepcopy(weights)
    ours = steps(Muon(weights, parts=3), weights, gradients)[0]
    split = steps(Muon(apart), apart, [step[0].chunk(3) for step in gradients])
    torch.testing.assert_close(ours, torch.cat(split), rtol=0, atol=1e-6)
    together = steps(Muon(twin), twin, gradients)[0]
    assert (ours - together).abs().max() > 1e-3


def test_which_weights_get_which_optimizer():
    model = tiny_model()
    muon, adamw = make_optimizer(model, SHORT).optimizers
    names = {parameter: name for name, parameter in model.named_parameters()}
    (fused, others), (matrices, vectors) = (
        [sorted(names[p] for p in group["params"]) for group in optimizer.param_groups]
        for optimizer in (muon, adamw)
    )
    blocks = ["blocks.0.", "blocks.1."]
    assert fused == [block + "attention.qkv.weight" for block in blocks]
    inside = ["attention.proj", "feed_forward.expand", "feed_forward.proj"]
    assert others == [f"{block}{name}.weight" for block in blocks for name in inside]
    assert matrices == ["pos_emb.weight", "tok_emb.weight"]
    assert sorted(fused + others + matrices + vectors) == sorted(names.values())
    decay = [group["weight_decay"] for group in make_optimizer(model, SHORT).param_groups]
    assert decay == [SHORT.weight_decay] * 3 + [0.0]
    assert [group["parts"] for group in muon.param_groups] == [3, 1]


@pytest.mark.parametrize("emb_dim", [16, 64])
def test_its_rate_is_the_same_for_every_width(emb_dim):
    model = GPT(GPTConfig(64, 32, emb_dim=emb_dim, n_heads=2, n_layers=1))
    config = replace(SHORT, lr=suited_rate(PRETRAINING, emb_dim))
    muon, adamw = make_optimizer(model, config).optimizers
    group = muon.param_groups[0]
    assert group["lr"] * group["lr_scale"] == pytest.approx(MUON_SHARE * PRETRAINING)
    assert adamw.param_groups[0]["lr"] == config.lr


def test_the_schedule_sets_the_rate_of_both():
    """A step of twice the rate goes twice as far, in the blocks and outside."""

    def moved(lr):
        model = tiny_model()
        before = copy.deepcopy(model.state_dict())
        optimizer = make_optimizer(model, replace(SHORT, weight_decay=0.0))
        inputs, targets = dataset()[0]
        model(inputs[None]).logsumexp(-1).sum().backward()
        update(model, optimizer, torch.amp.GradScaler("cpu", enabled=False), lr, clip=1.0)
        assert all(p.grad is None for p in model.parameters())
        return {name: tensor - before[name] for name, tensor in model.state_dict().items()}

    once, twice = moved(1e-3), moved(2e-3)
    for name in ("blocks.0.attention.qkv.weight", "tok_emb.weight"):
        assert once[name].abs().max() > 1e-5
        torch.testing.assert_close(2 * once[name], twice[name], rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_it_learns_and_goes_on_bit_for_bit(device, tmp_path):
    config = replace(SHORT, device=device)
    model = tiny_model().to(device)
    whole = train(model, dataset(), config)
    assert whole[-1] < 0.8 * whole[0]

    first = tiny_model().to(device)
    optimizer = make_optimizer(first, config)
    train(first, dataset(), config, optimizer, on_step=lambda step, *_: step == 4)
    torch.save([first.state_dict(), optimizer.state_dict()], tmp_path / "state.pt")

    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    second = tiny_model(seed=8).to(device)
    second.load_state_dict(weights)
    optimizer = make_optimizer(second, config)
    optimizer.load_state_dict(state)
    assert whole[5:] == train(second, dataset(), config, optimizer, first_step=5)
    for a, b in zip(model.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_scaler_skips_the_step_of_both_when_gradients_are_too_large():
    """In half precision: the scaler sees all groups, and after a step it skips nothing has moved."""
    model = tiny_model()
    optimizer, before = make_optimizer(model, SHORT), copy.deepcopy(model.state_dict())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    advance = partial(update, model, optimizer, scaler, 1e-2, 1.0)

    def backward(factor):
        scaler.scale(factor * model(torch.arange(8)[None]).square().mean()).backward()

    backward(1.0)
    model.tok_emb.weight.grad[0, 0] = torch.inf
    advance()
    assert all(torch.equal(before[name], w) for name, w in model.state_dict().items())
    assert scaler.get_scale() == 512
    backward(1.0)
    norm = advance()
    assert norm < 1e3 and not torch.equal(before["tok_emb.weight"], model.tok_emb.weight)
    name = "blocks.1.feed_forward.proj.weight"
    assert not torch.equal(before[name], model.state_dict()[name])


def test_the_state_of_other_optimizers_is_refused():
    optimizer = make_optimizer(tiny_model(), SHORT)
    with pytest.raises(ValueError):
        optimizer.load_state_dict(Together(optimizer.optimizers[0]).state_dict())


def test_the_flag_and_its_words():
    given_flags, *_ = train_arguments(["--optimizer", "muon"])
    assert given_flags == {"optimizer": "muon"} and TrainConfig().optimizer == "adamw"
    with pytest.raises(SystemExit):
        train_arguments(["--optimizer", "sgd"])
    with pytest.raises(ValueError, match="optimizer must be adamw or muon, not 'sgd'"):
        TrainConfig(optimizer="sgd")
    with pytest.raises(ValueError, match="schedule must be cosine or linear, not 'cosin'"):
        TrainConfig(schedule="cosin")
