"""Eight numbers at once inside a compiled loop, where the compiler alone would take them singly.

For loops whose inner axis is eight contiguous samples at a place that depends on the data. Each
function is one instruction (or two) of the processor; call them inside a ``@kernel`` only.
"""
# SPDX-License-Identifier: Apache-2.0

from typing import Any, no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 8


@no_type_check
class Eight(types.Type):  # type: ignore[misc]
    """The compiled type of eight float32 or float64 numbers."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(f"Eight({dtype})")


@register_model(Eight)
@no_type_check
class _EightModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        number = ir.FloatType() if kind.dtype is types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(number, LANES))


@no_type_check
def _place(context, builder, signature, args, vector):
    """Give the address of ``flat[index]`` as that of eight numbers."""
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer())


def _align(dtype: Any) -> int:
    return 4 if dtype is types.float32 else 8


@intrinsic
@no_type_check
def zeros8(_typing, like):
    """Give eight zeros of the dtype of the array ``like``."""
    kind = Eight(like.dtype)

    def codegen(context, _builder, _signature, _args):
        return ir.Constant(context.get_value_type(kind), [0.0] * LANES)

    return kind(like), codegen


@intrinsic
@no_type_check
def load8(_typing, flat, index):
    """Read ``flat[index : index + 8]`` of a contiguous array with one axis; no bounds check."""
    kind = Eight(flat.dtype)

    def codegen(context, builder, signature, args):
        vector = context.get_value_type(kind)
        found = builder.load(_place(context, builder, signature, args, vector))
        found.align = _align(flat.dtype)
        return found

    return kind(flat, types.uintp), codegen


@intrinsic
@no_type_check
def store8(_typing, flat, index, value):
    """Write ``flat[index : index + 8] = value``; no bounds check."""

    def codegen(context, builder, signature, args):
        vector = context.get_value_type(value)
        done = builder.store(args[2], _place(context, builder, signature, args, vector))
        done.align = _align(flat.dtype)
        return context.get_dummy_value()

    return types.void(flat, types.uintp, value), codegen


@intrinsic
@no_type_check
def add_scaled8(_typing, total, factor, value):
    """Give ``total + factor * value``; ``factor`` is one number, fused where the processor can."""

    def codegen(context, builder, _signature, args):
        vector, i32 = context.get_value_type(value), ir.IntType(32)
        empty, first = (
            ir.Constant(vector, ir.Undefined),
            ir.Constant(ir.VectorType(i32, LANES), [0] * LANES),
        )
        one = builder.insert_element(empty, args[1], i32(0))
        factors = builder.shuffle_vector(one, empty, first)
        name = "llvm.fmuladd.v8" + ("f32" if value.dtype is types.float32 else "f64")
        fused = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), name
        )
        return builder.call(fused, [factors, args[2], args[0]])

    return total(total, value.dtype, value), codegen
