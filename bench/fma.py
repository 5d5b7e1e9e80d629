"""The machine's peak: a compiled loop of independent fused multiply-adds, all in registers.

No library's product is the peak, and a kernel that is better than the library's would seem to
exceed it; this loop does nothing else than multiply and add.
"""

from typing import Any

import numba
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.extending import intrinsic

# AVX-512 has 32 registers of 16 floats, AVX2 16 of 8; LLVM splits them for NEON. Two ports with a
# latency of four cycles need eight; measured with AVX-512: 262 of 264 GFLOP/s at 4.13 GHz.
LANES, ACCUMULATORS = (16, 16) if get_host_cpu_features().get("avx512f") else (8, 12)
STEPS = 2_000_000
# Where the first accumulator starts. LLVM takes one that starts at 1, which stays there, for a
# constant: 15 of 16 were computed, and the peak seemed a fifteenth higher.
FIRST = 2


@intrinsic
def _fused(context: Any, steps: Any) -> Any:
    """The sum of all accumulators after so many steps of x = x * a + b."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, index = ir.VectorType(ir.FloatType(), LANES), ir.IntType(64)
        a, b = (ir.Constant(vector, [value] * LANES) for value in (0.999, 0.001))
        kind = ir.FunctionType(vector, [vector] * 3)
        # Fused where the machine can; where not, llvm.fma would be a call of the C library's.
        name = f"llvm.fmuladd.v{LANES}f32"
        fma = cgutils.get_or_insert_function(builder.module, kind, name)
        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("fused", "summed"))
        builder.branch(loop)
        builder.position_at_end(loop)
        count = builder.phi(index)
        sums = [builder.phi(vector) for _ in range(ACCUMULATORS)]
        count.add_incoming(ir.Constant(index, 0), before)
        updated = [builder.call(fma, [phi, a, b]) for phi in sums]
        for i, (phi, value) in enumerate(zip(sums, updated, strict=True)):
            phi.add_incoming(ir.Constant(vector, [float(FIRST + i)] * LANES), before)
            phi.add_incoming(value, loop)
        following = builder.add(count, ir.Constant(index, 1))
        count.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, arguments[0]), loop, after)
        builder.position_at_end(after)
        total = updated[0]
        for value in updated[1:]:
            total = builder.fadd(total, value)
        lane = [builder.extract_element(total, ir.Constant(index, i)) for i in range(LANES)]
        result = lane[0]
        for value in lane[1:]:
            result = builder.fadd(result, value)
        return result

    return types.float32(types.int64), build


@numba.njit(nogil=True)
def fused(steps: int) -> float:
    """Run the loop; its result only keeps the compiler from leaving it out."""
    result: float = _fused(steps)
    return result


def flops_of(steps: int) -> int:
    """Floating-point operations of so many steps; a multiply-add is two."""
    return 2 * steps * ACCUMULATORS * LANES
