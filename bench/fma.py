"""The machine's peak: a compiled loop of independent fused multiply-adds, all in registers.

No library's product is the peak, and a kernel that is better than the library's would seem to
exceed it; this loop does nothing else than multiply and add. LLVM compiles it without Numba, whose
threads would start in every process that times.
"""

import ctypes
from functools import cache
from typing import Any

from llvmlite import binding, ir

# AVX-512 has 32 registers of 16 floats, AVX2 16 of 8; LLVM splits them for NEON. Two ports with a
# latency of four cycles need eight; measured with AVX-512: 262 of 264 GFLOP/s at 4.13 GHz.
LANES, ACCUMULATORS = (16, 16) if binding.get_host_cpu_features().get("avx512f") else (8, 12)
STEPS = 2_000_000
# Where the first accumulator starts. One that starts at 1 stays there: a compiler that sees it
# computes 15 of 16, and the peak seems a fifteenth higher.
FIRST = 2


def fused(steps: int) -> float:
    """Run the loop; its result only keeps the compiler from leaving it out. Other threads run."""
    result: float = _compiled()[0](steps)
    return result


def assembly() -> str:
    """The loop in the machine's code."""
    text: str = _compiled()[1].emit_assembly(binding.parse_assembly(str(_module())))
    return text


def flops_of(steps: int) -> int:
    """Floating-point operations of so many steps; a multiply-add is two."""
    return 2 * steps * ACCUMULATORS * LANES


@cache
def _compiled() -> tuple[Any, Any, Any]:
    """The loop as a function, what compiled it, and what keeps its code in memory."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3
    )
    engine = binding.create_mcjit_compiler(binding.parse_assembly(str(_module())), machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)
    return kind(engine.get_function_address("fused")), machine, engine


def _module() -> ir.Module:
    """fused(steps): the sum of all accumulators after so many steps of x = x * a + b."""
    module = ir.Module("fma")
    vector, index = ir.VectorType(ir.FloatType(), LANES), ir.IntType(64)
    a, b = (ir.Constant(vector, [value] * LANES) for value in (0.999, 0.001))
    # Fused where the machine can; where not, llvm.fma would be a call of the C library's.
    kind = ir.FunctionType(vector, [vector] * 3)
    fma = ir.Function(module, kind, f"llvm.fmuladd.v{LANES}f32")
    function = ir.Function(module, ir.FunctionType(ir.FloatType(), [index]), "fused")
    before, loop, after = map(function.append_basic_block, ("before", "loop", "after"))
    builder = ir.IRBuilder(before)
    builder.branch(loop)
    builder.position_at_end(loop)
    count = builder.phi(index)
    sums = [builder.phi(vector) for _ in range(ACCUMULATORS)]
    updated = [builder.call(fma, [x, a, b]) for x in sums]
    following = builder.add(count, index(1))
    starts = [ir.Constant(vector, [float(FIRST + i)] * LANES) for i in range(ACCUMULATORS)]
    for phi, start, value in zip(
        (count, *sums), (index(0), *starts), (following, *updated), strict=True
    ):
        phi.add_incoming(start, before)
        phi.add_incoming(value, loop)
    more = builder.icmp_signed("<", following, function.args[0])
    builder.cbranch(more, loop, after)
    builder.position_at_end(after)
    total = updated[0]
    for value in updated[1:]:
        total = builder.fadd(total, value)
    lanes = [builder.extract_element(total, index(i)) for i in range(LANES)]
    result = lanes[0]
    for value in lanes[1:]:
        result = builder.fadd(result, value)
    builder.ret(result)
    return module
