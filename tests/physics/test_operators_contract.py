"""The contract of every linear operator in the package, found automatically."""

import functools
import importlib
import inspect
import pkgutil
import sys

import pytest
import torch
from operators import ENTRIES, Entry, number_type

import vesalius
from vesalius.core import LinearOperator

each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
tiny = 200
"""Most numbers in a domain or codomain for a check of every derivative."""


@functools.cache
def built(entry: Entry) -> LinearOperator:
    return entry.factory()


def pair(entry: Entry, *, batch=(), single=False, generator):
    """Draw an input and an output at random."""
    op, dtype = built(entry), number_type(entry, single=single)
    x = torch.randn(*batch, *op.domain, generator=generator, dtype=dtype)
    y = torch.randn(*batch, *op.codomain, generator=generator, dtype=dtype)
    return x, y


def mismatch(op, x, y):
    """|<A x, y> - <x, A.H y>| over the product of the norms that bounds it."""
    wide = torch.complex128 if x.is_complex() else torch.float64
    ax, ay = op(x).to(wide).flatten(), op.H(y).to(wide).flatten()
    x, y = x.to(wide).flatten(), y.to(wide).flatten()
    left, right = torch.vdot(y, ax), torch.vdot(ay, x)
    scale = max(float(ax.norm() * y.norm()), float(x.norm() * ay.norm()))
    assert scale > 0, "the operator must do something here"
    return float((left - right).abs()) / scale


@each
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
def test_the_adjoint_is_exact_in_double_precision(entry, batch, generator):
    x, y = pair(entry, batch=batch, generator=generator)
    assert mismatch(built(entry), x, y) < 1e-12


@each
def test_the_adjoint_is_exact_in_single_precision(entry, generator):
    x, y = pair(entry, single=True, generator=generator)
    assert mismatch(built(entry), x, y) < 1e-5


@each
@pytest.mark.parametrize("single", [False, True], ids=["double", "single"])
def test_keeps_shape_dtype_and_device(entry, single, generator):
    op = built(entry)
    x, y = pair(entry, batch=(2,), single=single, generator=generator)
    forward, back = op(x), op.H(y)
    assert forward.shape == y.shape
    assert back.shape == x.shape
    assert forward.dtype == back.dtype == x.dtype
    assert forward.device == back.device == x.device


@each
def test_a_batch_is_the_same_as_one_by_one(entry, generator):
    op = built(entry)
    x, y = pair(entry, batch=(2, 3), generator=generator)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(op(x)[i, j], op(x[i, j]))
            torch.testing.assert_close(op.H(y)[i, j], op.H(y[i, j]))


@each
def test_strides_do_not_matter(entry, generator):
    op = built(entry)
    x, y = pair(entry, batch=(2,), generator=generator)
    torch.testing.assert_close(op(scattered(x)), op(x))
    torch.testing.assert_close(op.H(scattered(y)), op.H(y))


def scattered(x):
    """Give the same numbers with gaps and in another order in memory."""
    wide = x.new_zeros(*x.shape[::-1], 2)
    view = wide[..., 0].permute(*reversed(range(x.ndim)))
    view.copy_(x)
    assert not view.is_contiguous()
    return view


@each
def test_the_input_is_left_alone(entry, generator):
    op = built(entry)
    x, y = pair(entry, generator=generator)
    x0, y0 = x.clone(), y.clone()
    op(x), op.H(y)
    assert torch.equal(x, x0)
    assert torch.equal(y, y0)


@each
def test_zero_maps_to_zero(entry, generator):
    op = built(entry)
    x, y = pair(entry, generator=generator)
    assert not op(torch.zeros_like(x)).any()
    assert not op.H(torch.zeros_like(y)).any()


@each
def test_is_linear(entry, generator):
    op = built(entry)
    a, b = pair(entry, batch=(2,), generator=generator)[0]
    torch.testing.assert_close(op(2 * a - b), 2 * op(a) - op(b))


@each
def test_gives_the_same_numbers_every_time(entry, generator):
    op = built(entry)
    x, y = pair(entry, generator=generator)
    assert torch.equal(op(x), op(x))
    assert torch.equal(op.H(y), op.H(y))


@each
def test_the_gradient_is_the_adjoint(entry, generator):
    op = built(entry)
    x, y = pair(entry, generator=generator)
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(op(x), x, y)
    torch.testing.assert_close(gradient, op.H(y))


@each
def test_derivatives_exist_to_the_second_order(entry, generator):
    op = built(entry)
    x, _ = pair(entry, generator=generator)
    small_or_skip(op)
    # one random direction: every direction is checked below, exactly
    x = x.requires_grad_()
    assert torch.autograd.gradcheck(op, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(op, x, fast_mode=True)


@each
def test_every_derivative_is_the_matrix_of_the_operator(entry):
    op, dtype = built(entry), number_type(entry)
    small_or_skip(op)
    matrix = op(units(op.domain, dtype))  # row j is A e_j
    x, v = zeros(op, len(matrix), dtype)
    back = torch.autograd.grad(op(x), x, v, create_graph=True)[0]
    twice = torch.autograd.grad(back, v, units(op.domain, dtype))[0]
    torch.testing.assert_close(twice, matrix)
    ones = units(op.codomain, dtype)
    x, _ = zeros(op, len(ones), dtype)
    once = torch.autograd.grad(op(x), x, ones)[0]  # row i is A.H e_i
    torch.testing.assert_close(once.flatten(1), matrix.flatten(1).T.conj().resolve_conj())


def small_or_skip(op):
    if max(torch.Size(op.domain).numel(), torch.Size(op.codomain).numel()) > tiny:
        pytest.skip(f"more than {tiny} numbers: another entry of this operator is checked")


def units(shape, dtype):
    """Give every array of one 1 among zeros, (number, *shape)."""
    return torch.eye(torch.Size(shape).numel(), dtype=dtype).reshape(-1, *shape)


def zeros(op, count, dtype):
    """Give a batch of inputs and outputs that derivatives can be taken in."""
    sizes = ((count, *op.domain), (count, *op.codomain))
    return tuple(torch.zeros(size, dtype=dtype, requires_grad=True) for size in sizes)


@pytest.mark.gpu
@each
def test_agrees_with_the_cpu_on_a_gpu(entry, generator):
    op = built(entry)
    x, y = pair(entry, generator=generator)
    torch.testing.assert_close(op(x.cuda()).cpu(), op(x))
    torch.testing.assert_close(op.H(y.cuda()).cpu(), op.H(y))


@functools.cache
def concrete() -> set[type]:
    """Find every final operator of the package."""
    for module in pkgutil.walk_packages(vesalius.__path__, "vesalius."):
        if not module.name.startswith(("vesalius.app", "vesalius.cli")):
            importlib.import_module(module.name)
    found, todo = set(), [LinearOperator]
    while todo:
        children = todo.pop().__subclasses__()
        todo += children
        found.update(c for c in children if c.__module__.startswith("vesalius."))
    # a dataclass with slots is made twice: only the second can be reached by its name
    reached = {c for c in found if getattr(sys.modules[c.__module__], c.__name__, None) is c}
    return {c for c in reached if not inspect.isabstract(c)}


def parts(op: LinearOperator) -> set[type]:
    """Give the types of an operator and of what it is made of."""
    found = {type(op)}
    for name in getattr(type(op), "__dataclass_fields__", {}):
        stock = [getattr(op, name)]
        while stock:
            value = stock.pop()
            if isinstance(value, tuple):
                stock += value
            elif isinstance(value, LinearOperator):
                found |= parts(value)
    return found


def test_every_operator_of_the_package_is_under_the_contract():
    covered = set().union(*(parts(built(entry)) for entry in ENTRIES))
    missing = {f"{c.__module__}.{c.__name__}" for c in concrete() - covered}
    assert not missing, f"add to tests/physics/operators.py: {sorted(missing)}"


def test_every_operator_has_an_entry_small_enough_for_its_derivatives():
    small = set()
    for entry in ENTRIES:
        op = built(entry)
        x, y = (torch.Size(s).numel() for s in (op.domain, op.codomain))
        if max(x, y) <= tiny:
            small |= parts(op)
    missing = {f"{c.__module__}.{c.__name__}" for c in concrete() - small}
    assert not missing, f"add a tiny entry to tests/physics/operators.py: {sorted(missing)}"


def test_every_operator_is_final():
    open_ones = [c.__name__ for c in concrete() if not getattr(c, "__final__", False)]
    assert not open_ones


def test_names_of_entries_are_unique():
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)
