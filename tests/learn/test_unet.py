"""The U-Net: any size in, the same size out, the same weights from the same generator."""

import pytest
import torch

from vesalius.errors import ConfigError, ShapeError
from vesalius.learn import UNet, UNetPlan


def made(plan, seed=0):
    return UNet(plan, generator=torch.Generator().manual_seed(seed)).eval()


@pytest.mark.parametrize(
    ("dims", "size"), [(1, (37,)), (2, (33, 20)), (3, (9, 17, 5)), (2, (1, 1)), (3, (8, 8, 8))]
)
@pytest.mark.parametrize("norm", ["instance", "group", "batch", "none"])
def test_any_size_comes_out_as_it_went_in(dims, size, norm):
    plan = UNetPlan(dims, inputs=2, outputs=3, width=4, levels=3, norm=norm)
    y = made(plan)(torch.randn(2, 2, *size))
    assert y.shape == (2, 3, *size)
    assert bool(torch.isfinite(y).all())


def test_a_residual_network_starts_as_the_identity(generator):
    x = torch.randn(1, 2, 20, 21, generator=generator)
    plan = UNetPlan(2, inputs=2, outputs=1, width=4, norm="none", residual=True)
    torch.testing.assert_close(made(plan)(x), x[:, :1])


def test_weights_come_from_the_generator_alone():
    plan = UNetPlan(2, width=4)
    torch.manual_seed(1)
    one = made(plan, seed=5).state_dict()
    torch.manual_seed(2)
    two = made(plan, seed=5).state_dict()
    other = made(plan, seed=6).state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)


def test_first_weights_keep_the_variance():
    """He's rule: a rectified layer keeps the mean square of what goes in."""
    plan = UNetPlan(2, inputs=32, width=32, levels=1, norm="none")
    net = made(plan)
    x = torch.randn(4, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    first = net.enter[0](x)[..., 2:-2, 2:-2]
    assert float(first.square().mean()) == pytest.approx(2.0, rel=0.1)


def test_widths_double_up_to_the_widest():
    plan = UNetPlan(3, width=16, levels=5, widest=100)
    assert plan.widths == (16, 32, 64, 100, 100)
    assert plan.divisor == (16, 16, 16)


def test_thick_slices_are_not_pooled_where_the_plan_says_so():
    plan = UNetPlan(3, width=4, levels=3, anisotropy=((1, 2, 2), (2, 2, 2)))
    assert plan.divisor == (2, 4, 4)
    shapes = []
    net = made(plan)
    for layer in net.down:
        layer.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape[2:])))
    net(torch.zeros(1, 1, 4, 8, 8))
    assert shapes == [(4, 4, 4), (2, 2, 2)]


def test_moves_with_its_input():
    """Without a border effect, a shift by the coarsest step shifts the output."""
    plan = UNetPlan(2, width=4, levels=3, norm="none")
    net = made(plan)
    x = torch.zeros(1, 1, 64, 64)
    x[..., 28:36, 28:36] = 1
    moved = net(x.roll((4, 8), dims=(2, 3)))[..., 16:48, 16:48]
    torch.testing.assert_close(moved, net(x).roll((4, 8), dims=(2, 3))[..., 16:48, 16:48])


def test_every_weight_is_used():
    plan = UNetPlan(2, width=4, levels=3)
    net = made(plan)
    net(torch.randn(1, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dims": 4}, "dims must be 1, 2 or 3, got 4"),
        ({"dims": 2, "width": 0}, "width and levels must be at least 1"),
        ({"dims": 2, "widest": 8}, "widest at least width"),
        ({"dims": 2, "outputs": 2, "residual": True}, "a residual network adds to its input"),
        ({"dims": 2, "anisotropy": ((1, 2),)}, "anisotropy must have 2 steps of 2 numbers"),
        ({"dims": 2, "anisotropy": ((1, 3), (2, 2))}, "anisotropy must have 2 steps"),
        ({"dims": 2, "kernels": ((3, 3),)}, "kernels must have 3 sizes of 2 numbers 1 or 3"),
        ({"dims": 2, "levels": 1, "kernels": ((3, 5),)}, "kernels must have 1 sizes"),
        ({"dims": 2, "deep": 2}, "deep must be from 0 to levels - 2 = 1, got 2"),
    ],
)
def test_refuses_a_plan_that_cannot_be_built(fields, message):
    with pytest.raises(ConfigError, match=message):
        UNetPlan(**fields)


def test_refuses_another_number_of_axes_or_channels():
    net = made(UNetPlan(2, inputs=2, width=4))
    with pytest.raises(ShapeError, match=r"input must have shape \(batch, 2, and 2 spatial axes"):
        net(torch.zeros(1, 2, 8, 8, 8))
    with pytest.raises(ShapeError, match="input must have shape"):
        net(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("residual", [False, True])
def test_a_network_without_constants_is_homogeneous(residual, generator):
    plan = UNetPlan(2, inputs=2, width=4, norm="none", residual=residual, bias=False)
    net = made(plan)
    if residual:
        torch.nn.init.ones_(net.leave.weight)
    x = torch.randn(1, 2, 20, 21, generator=generator)
    torch.testing.assert_close(net(7.0 * x), 7.0 * net(x), rtol=1e-4, atol=1e-4)
    assert not [name for name, _ in net.named_parameters() if name.endswith("bias")]
    assert [n for n, _ in made(UNetPlan(2, norm="none")).named_parameters() if "leave.bias" in n]


@pytest.mark.parametrize("ascent", ["convolved", "pointwise"])
@pytest.mark.parametrize("block", ["plain", "residual", "attention"])
def test_every_block_keeps_the_size_uses_every_weight_and_comes_from_the_generator(block, ascent):
    plan = UNetPlan(
        3,
        outputs=2,
        width=4,
        levels=4,
        block=block,
        ascent=ascent,
        deep=2,
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
        anisotropy=((1, 2, 2), (2, 2, 2), (2, 2, 2)),
    )
    net = made(plan)
    x = torch.randn(2, 1, 5, 17, 12, generator=torch.Generator().manual_seed(1))
    outputs = net.deep(x)
    assert [tuple(y.shape) for y in outputs] == [
        (2, 2, 5, 17, 12),
        (2, 2, 5, 9, 6),
        (2, 2, 3, 5, 3),
    ]
    assert torch.equal(outputs[0], net(x))
    sum(y.square().sum() for y in outputs).backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in net.parameters())
    again = made(plan).state_dict()
    assert all(torch.equal(v, again[k]) for k, v in net.state_dict().items())


def test_new_choices_leave_names_and_first_weights_of_plain_plans_as_they_were():
    """Packaged weights are loaded by name; the order of the draws decides the first weights."""
    net = made(UNetPlan(2, width=4, levels=2))
    assert [name for name, _ in net.named_parameters()] == [
        *(
            f"enter.{i}.{w}"
            for i in (0, 1, 3, 4)
            for w in ("weight", "bias")
            if i % 3 or w == "weight"
        ),
        *(
            f"down.0.{i}.{w}"
            for i in (0, 1, 3, 4)
            for w in ("weight", "bias")
            if i % 3 or w == "weight"
        ),
        "narrow.0.weight",
        "narrow.0.bias",
        *(
            f"up.0.{i}.{w}"
            for i in (0, 1, 3, 4)
            for w in ("weight", "bias")
            if i % 3 or w == "weight"
        ),
        "leave.weight",
        "leave.bias",
    ]
    plain = made(UNetPlan(2, width=4, levels=3)).state_dict()
    for more in ({"deep": 1}, {"block": "attention"}):
        other = made(UNetPlan(2, width=4, levels=3, **more)).state_dict()
        assert set(plain) < set(other)
        assert all(torch.equal(v, other[k]) for k, v in plain.items())


def test_a_kernel_of_one_does_not_mix_slices():
    plan = UNetPlan(3, width=4, levels=1, norm="none", kernels=((1, 3, 3),))
    x = torch.randn(1, 1, 5, 8, 8, generator=torch.Generator().manual_seed(1))
    other = x.clone()
    other[:, :, 2] += 1.0
    changed = (made(plan)(x) != made(plan)(other)).flatten(3).any(3)[0, 0]
    assert changed.tolist() == [False, False, True, False, False]


def test_a_gate_starts_near_one_half_and_weighs_each_sample_once():
    net = made(UNetPlan(2, width=4, levels=2, block="attention"))
    skip = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    gate = net.gates[0]
    ratio = gate(skip, torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(2))) / skip
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    assert 0 < float(ratio.min()) < float(ratio.max()) < 1
    for p in gate.parameters():
        torch.nn.init.zeros_(p)
    torch.testing.assert_close(gate(skip, skip), skip / 2)


def test_a_residual_plan_starts_as_the_identity_at_every_level():
    plan = UNetPlan(2, width=4, levels=3, norm="none", residual=True, deep=1)
    x = torch.randn(1, 1, 9, 12, generator=torch.Generator().manual_seed(1))
    fine, coarse = made(plan).deep(x)
    assert torch.equal(fine, x)
    assert torch.equal(coarse, x[..., ::2, ::2])


@pytest.mark.parametrize(("norm", "alike"), [("batch", True), ("instance", False)])
def test_batch_norm_alone_sees_a_tile_alike_whatever_is_elsewhere(norm, alike):
    model = made(UNetPlan(2, width=4, levels=2, norm=norm)).eval()
    dark = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(5))
    bright = dark.clone()
    bright[..., 48:] += 20.0  # far beyond what the middle of the other half can see
    with torch.no_grad():
        gap = (model(dark) - model(bright))[..., :16].abs().max()
    assert (float(gap) < 1e-6) == alike
