"""Sample a line at many evenly spaced places at once: look-ups within registers, not in memory.

A compiled ``line[int(r)]`` with ``r = base + pace * k`` reads sample by sample. As long as the
places stay within a window of twice as many samples as lanes, x86 processors with AVX-512 or AVX2
can read the window once and permute it. Call the functions inside a ``@kernel`` only, and only
where ``LANES`` is not 0.
"""
# SPDX-License-Identifier: Apache-2.0

from typing import Any, no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

_F32, _I32 = ir.FloatType(), ir.IntType(32)


def widest() -> int:
    """Say how many samples this processor takes at once: 16, 8, or 0 where there is no way."""
    # what numba compiles for: the environment may hold it to less than the processor has
    chosen = config.CPU_FEATURES
    has = set((get_host_cpu_features() if chosen is None else chosen).split(","))
    if "+avx512f" in has:
        return 16
    return 8 if {"+avx2", "+fma"} <= has else 0


LANES = widest()


@no_type_check
def _call(builder, name, args):
    """Call an instruction whose result is of the type of its last argument."""
    kind = ir.FunctionType(args[-1].type, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


@no_type_check
def _spread(builder, value, lanes):
    """Repeat one number in all lanes."""
    kind = ir.VectorType(value.type, lanes)
    empty, first = (
        ir.Constant(kind, ir.Undefined),
        ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes),
    )
    return builder.shuffle_vector(builder.insert_element(empty, value, _I32(0)), empty, first)


@no_type_check
def _pick(builder, low, high, index):
    """Give the samples at ``index`` of the window made of ``low`` and ``high``."""
    if low.type.count == 16:
        return _call(builder, "llvm.x86.avx512.vpermi2var.ps.512", [low, index, high])
    name, last = "llvm.x86.avx2.permps", ir.Constant(index.type, [7] * 8)
    index_of = builder.icmp_signed(">", index, last)
    kind = ir.FunctionType(low.type, [low.type, index.type])
    permute = cgutils.get_or_insert_function(builder.module, kind, name)
    one, two = (builder.call(permute, [half, index]) for half in (low, high))
    return builder.select(index_of, two, one)


@no_type_check
def _interpolated(builder, low, high, base, pace):
    """Interpolate the window linearly at ``base + pace * lane``."""
    lanes = low.type.count
    fma, whole = f"llvm.fma.v{lanes}f32", ir.VectorType(_I32, lanes)
    lane = ir.Constant(low.type, [float(k) for k in range(lanes)])
    place = _call(builder, fma, [pace, lane, base])
    index = builder.fptosi(place, whole)
    part = builder.fsub(place, builder.sitofp(index, low.type))
    left = _pick(builder, low, high, index)
    right = _pick(builder, low, high, builder.add(index, ir.Constant(whole, [1] * lanes)))
    return _call(builder, fma, [part, builder.fsub(right, left), left])


@no_type_check
def line_adder(lanes: int) -> Any:
    """Make the function that adds evenly spaced samples of a blend of two lines to a third.

    Args:
        lanes: 16 (AVX-512) or 8 (AVX2).

    Returns:
        ``add(total, lines, places, numbers)`` for two contiguous float32 arrays of one axis, with
        ``places`` the unsigned ``(at, one, two, count)`` and ``numbers`` the float32
        ``(weight_one, weight_two, base, pace)``: for k below ``count``, at most ``lanes``,
        ``total[at + k]`` grows by ``weight_one * L1(base + pace * k) + weight_two * L2(...)``,
        where L1 and L2 are ``lines`` from ``one`` and from ``two`` on, linearly interpolated.
        Places must lie in [0, 2 * lanes - 1); ``total`` must have ``lanes`` elements from ``at``,
        ``lines`` twice as many from ``one`` and from ``two``. No bounds check.
    """
    vector = ir.VectorType(_F32, lanes)

    def pointer(context, builder, array, index):
        kind, value = array
        data = context.make_array(kind)(context, builder, value).data
        return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

    def read(builder, place):
        found = builder.load(place)
        found.align = 4
        return found

    def codegen(context, builder, signature, args):
        at, one, two, count = cgutils.unpack_tuple(builder, args[2])
        numbers = cgutils.unpack_tuple(builder, args[3])
        left, right, base, pace = (_spread(builder, x, lanes) for x in numbers)
        total, lines = zip(signature.args[:2], args[:2], strict=True)
        window = []
        for skip in (0, lanes):
            near, far = (
                read(builder, pointer(context, builder, lines, builder.add(i, i.type(skip))))
                for i in (one, two)
            )
            scaled = builder.fmul(left, near)
            window.append(_call(builder, f"llvm.fma.v{lanes}f32", [right, far, scaled]))
        value = _interpolated(builder, *window, base, pace)
        lane = ir.Constant(ir.VectorType(_I32, lanes), list(range(lanes)))
        wanted = builder.icmp_signed("<", lane, _spread(builder, builder.trunc(count, _I32), lanes))
        # chosen, not multiplied by 0: what lies beyond the count may be anything
        value = builder.select(wanted, value, ir.Constant(vector, [0.0] * lanes))
        place = pointer(context, builder, total, at)
        builder.store(builder.fadd(read(builder, place), value), place).align = 4
        return context.get_dummy_value()

    def add(_typing, total, lines, places, numbers):
        return types.void(total, lines, places, numbers), codegen

    return intrinsic(add)


add_line = line_adder(LANES) if LANES else None
