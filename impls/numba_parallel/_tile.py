"""Vector pieces that Numba cannot write as loops, in LLVM IR: the tile, and what serves it.

tile is where the multiply-adds of dense layers happen. It keeps rows x vectors sums in registers,

                     panel[k]  | v v v v | v v v v | v v v v |    vectors of contiguous values
      a[m, k] -> splat  s      | += s v  | += s v  | += s v  |    a register of sums each
                        s      | += s v  | += s v  | += s v  |    rows of them
                        ...

and for every k loads `vectors` vectors and `rows` scalars for rows * vectors fused multiply-adds.
It knows nothing of convolutions: a row's scalar stands where two tables say
(`a_rows[m] + a_taps[k]`), and the panel has been packed; pack_tile, for the first rows, reads what
goes there where it stands, and packs it. take_rows copies strips with their padding, pack_rows and
pack_columns fill panels, write_pairs puts together what stride 2 has parted, move_rows takes apart
what was summed together. sweep, sweep_rows and dots are for groups of a channel or two, whose rows
would leave a tile empty.

Array operands are one-dimensional and contiguous; loads and stores are unaligned. Nothing but what
is asked for is read or written: the last vector of a row is masked.
"""

import platform
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from impls.numba_parallel._jit import SOURCES


class Isa(NamedTuple):
    """What the registers of an instruction set hold.

    vector_bytes: of one register. rows, vectors: of the tile; 29 of 32 registers are the most that
    LLVM 22 allocates without spilling. few_rows: of the tile for at most as many rows.
    fused_cycles: what the fused multiply-add of a register takes.
    """

    vector_bytes: int
    rows: int
    few_rows: int
    vectors: int
    fused_cycles: float = 0.5


def host_isa() -> Isa:
    """That of the processor that Numba compiles for: the host, or NUMBA_CPU_FEATURES."""
    said = numba.config.CPU_FEATURES
    if said is None:
        said = llvmlite.binding.get_host_cpu_features().flatten()
    features = said.split(",")
    if "+avx512f" in features:
        name = numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
        # Zen 4 computes the halves of a register one after the other.
        fused_cycles = 1 if name == "znver4" else 0.5
        return Isa(vector_bytes=64, rows=8, few_rows=4, vectors=3, fused_cycles=fused_cycles)
    if "+avx2" in features and "+fma" in features:
        return Isa(vector_bytes=32, rows=6, few_rows=3, vectors=2)
    if "+neon" in features:
        return Isa(vector_bytes=16, rows=8, few_rows=4, vectors=3)
    return Isa(vector_bytes=16, rows=4, few_rows=2, vectors=2)


ISA = host_isa()
# Rows of a tile that is twice as wide, for colours: of the tile for few rows a fourth of the sums
# would be of no row, and its loads would take as long as its multiply-adds.
WIDE_ROWS, WIDE_VECTORS = 3, 2 * ISA.vectors
# Rows of a tile whose scalars are loaded before the row before is summed, where registers suffice.
# With these, and where taps stand loaded a tap before, layers took 0.97 of the time on an Intel
# core that other work shares, and 1.00 on one that none does: half of the window in which a core
# looks for instructions that can begin is too short for a load that waits for a load.
EARLY_SCALARS = 1 if ISA.rows * ISA.vectors == 24 else 0
# Bytes of vectors whose tile packs its panel: AVX-512 keeps masks in registers of their own. With
# AVX2 they would take the sums' registers, and NEON loads lanes of a mask one by one.
PACKING_BYTES = 64
# Vectors that sweep sums at once: as many chains as hide how long a fused multiply-add takes.
SWEEP_VECTORS = 8
# Heights of kernels for which sweep_rows sums several rows at once, so that a vector of the source
# is read once for all that it meets; how many rows, and vectors of each.
SWEPT_HEIGHTS = (3, 5, 7)
SWEPT_ROWS = 8 if ISA.rows * ISA.vectors == 24 else 4
SWEPT_VECTORS = 2
# Planes that dots multiplies at once, and with how many of the source: of one the taps of a 3 x 3
# kernel; what is left of others goes by three and one.
DOTS_TAPS = {4: (5 if ISA.rows * ISA.vectors == 24 else 2, 1), 1: (9, 3, 1)}
# Lines, and windows of each, 7 as of 7 x 7 planes, that sum_lanes sums at once, and taps of
# dot_lanes, 9 as of a 3 x 3 kernel; then what is left.
LANES_LINES = (2, 1)
LANES_WINDOWS = (7, 2, 1)
LANES_TAPS = (9, 3, 1)
# How far ahead take_rows asks for values of large images, which come from memory: 1.04 times as
# fast for 64 channels of 224 x 224, 1.5 times for 388 x 388 with few rows of sums.
AHEAD_BYTES = 4096
# Steps by which take_rows takes whole vectors apart, and how many phases at once; of other steps it
# takes one phase, value by value.
TAKEN_PHASES = ((1, 1), (2, 1), (2, 2), (4, 4))
CACHE_LINE = 64
# What a vector's register is called where assembly says what it reads.
ANY_REGISTER = {"x86_64": "v", "AMD64": "v", "aarch64": "w", "arm64": "w"}.get(platform.machine())
# The type of indices and addresses.
INDEX = ir.IntType(64)


class _Emitter:
    """Emits instructions on vectors of one dtype, as long as a register."""

    def __init__(self, context: Any, builder: ir.IRBuilder, dtype: Any) -> None:
        self.builder = builder
        self.bytes = dtype.bitwidth // 8
        self.lanes = ISA.vector_bytes // self.bytes
        self.vector = ir.VectorType(context.get_value_type(dtype), self.lanes)
        self.suffix = f"v{self.lanes}f{dtype.bitwidth}"

    def zero(self) -> Any:
        return ir.Constant(self.vector, None)

    def _call(self, name: str, result: Any, arguments: list[Any]) -> Any:
        kinds = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kinds, name)
        return self.builder.call(function, arguments)

    def _at(self, pointer: Any) -> Any:
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def load(self, pointer: Any) -> Any:
        return self.builder.load(self._at(pointer), align=self.bytes)

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, self._at(pointer), align=self.bytes)

    def mask(self, count: Any) -> Any:
        """The first `count` lanes; all of them from LANES on."""
        lane = ir.VectorType(ir.IntType(32), self.lanes)
        numbers = ir.Constant(lane, list(range(self.lanes)))
        count = self.builder.trunc(count, lane.element)
        return self.builder.icmp_signed("<", numbers, self.splat(count, lane))

    def load_masked(self, pointer: Any, mask: Any, otherwise: Any = None) -> Any:
        """What stands at pointer, in the lanes of the mask; in the others `otherwise`, or 0."""
        name = f"llvm.masked.load.{self.suffix}.p0"
        return self._call(name, self.vector, [self._at(pointer), mask, otherwise or self.zero()])

    def distances(self, places: Any, starts: tuple[Any, ...]) -> list[Any]:
        """How far after each start the lanes of a vector stand, whose places are at a pointer."""
        kind = ir.VectorType(INDEX, self.lanes)
        at = self.builder.load(self.builder.bitcast(places, kind.as_pointer()), align=8)
        return [self.builder.sub(at, self.splat(start, kind)) for start in starts]

    def compare(self, sign: str, numbers: Any, others: Any) -> Any:
        """Numbers of lanes beside others, or one for all."""
        others = others if isinstance(others, list) else [others] * self.lanes
        return self.builder.icmp_signed(sign, numbers, ir.Constant(numbers.type, others))

    def all(self, mask: Any) -> Any:
        """Whether every lane of a mask is set."""
        return self._call(f"llvm.vector.reduce.and.v{self.lanes}i1", ir.IntType(1), [mask])

    def pick(self, a: Any, b: Any, order: Any) -> Any:
        """Lane i is a's lane order[i], from the lanes' number on b's. AVX-512 alone."""
        kind = "ps" if self.bytes == 4 else "pd"
        numbers = ir.VectorType(ir.IntType(8 * self.bytes), self.lanes)
        if numbers != order.type:
            order = self.builder.trunc(order, numbers)
        return self._call(f"llvm.x86.avx512.vpermi2var.{kind}.512", self.vector, [a, order, b])

    def load_phases(self, step: int, count: int, pointer: Any, x: Any, end: Any) -> list[Any]:
        """`count` vectors: pointer[x + i], pointer[x + i + step], ... for each i < count <= step.

        They are 0 below 0 and from `end` on. A step of 2 ** n.
        """
        builder = self.builder
        kind = ir.VectorType(ir.IntType(32), self.lanes)
        # Less than 2 ** 31, as the extents of an image's axes are; below 0 they are more.
        first, last = (self.splat(builder.trunc(at, kind.element), kind) for at in (x, end))
        found = []
        for v in range(step):
            numbers = ir.Constant(kind, [v * self.lanes + i for i in range(self.lanes)])
            inside = builder.icmp_unsigned("<", builder.add(first, numbers), last)
            here = builder.gep(pointer, [builder.add(x, INDEX(v * self.lanes))])
            found.append(self.load_masked(here, inside))

        def parted(values: list[Any]) -> list[Any]:
            if len(values) == 1:
                return values
            pairs = list(zip(values[::2], values[1::2], strict=True))
            orders = (ir.Constant(kind, list(range(i, 2 * self.lanes, 2))) for i in (0, 1))
            halves = [[builder.shuffle_vector(a, b, order) for a, b in pairs] for order in orders]
            return [value for both in zip(*map(parted, halves), strict=True) for value in both]

        return parted(found)[:count]

    def gather(self, step: Any, pointer: Any, x: Any, end: Any) -> Any:
        """The first of these, one by one, of any step."""
        builder, value = self.builder, self.zero()
        for lane in range(self.lanes):
            held, before = value, builder.block
            with builder.if_then(builder.icmp_unsigned("<", x, end)):
                one = builder.load(builder.gep(pointer, [x]))
                found = builder.insert_element(held, one, ir.IntType(32)(lane))
                inside = builder.block
            value = builder.phi(self.vector)
            value.add_incoming(held, before)
            value.add_incoming(found, inside)
            x = builder.add(x, step)
        return value

    def store_masked(self, value: Any, pointer: Any, mask: Any) -> None:
        name = f"llvm.masked.store.{self.suffix}.p0"
        self._call(name, ir.VoidType(), [value, self._at(pointer), mask])

    def prefetch(self, pointer: Any, *, is_written: bool = False, level: int = 1) -> None:
        """Ask for a cache line before it is used, in L1 or L2; no address is wrong."""
        word = ir.IntType(32)
        here = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
        said = [word(int(is_written)), word(4 - level), word(1)]
        self._call("llvm.prefetch.p0", ir.VoidType(), [here, *said])

    def splat(self, scalar: Any, vector: Any = None) -> Any:
        vector = vector or self.vector
        one = self.builder.insert_element(
            ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0)
        )
        order = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        return self.builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), order)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self._call(f"llvm.fma.{self.suffix}", self.vector, [a, b, c])

    def done(self, sums: list[Any]) -> list[Any]:
        """The same sums, computed before anything that follows is loaded.

        With few registers left for addresses LLVM would load all scalars of a tile first, and put
        its sums on the stack to make room: the tile then took 1.9 times as long.
        """
        if ANY_REGISTER is None:
            return sums
        places = range(len(sums))
        said = ",".join([f"={ANY_REGISTER}" for _ in places] + [str(i) for i in places])
        kind = ir.LiteralStructType([self.vector for _ in sums]) if sums[1:] else self.vector
        # An instruction that is none, which is said to read and write them and memory.
        kinds = ir.FunctionType(kind, [self.vector for _ in sums])
        nothing = ir.InlineAsm(kinds, "", f"{said},~{{memory}}", side_effect=True)
        found = self.builder.call(nothing, sums)
        return [self.builder.extract_value(found, i) for i in places] if sums[1:] else [found]

    def total(self, value: Any) -> Any:
        """The sum of all lanes."""
        element = self.vector.element
        kinds = ir.FunctionType(element, [element, self.vector])
        name = f"llvm.vector.reduce.fadd.{self.suffix}"
        function = cgutils.get_or_insert_function(self.builder.module, kinds, name)
        return self.builder.call(function, [element(0.0), value], fastmath=("reassoc",))

    def zip(self, a: Any, b: Any, half: int) -> Any:
        """Lanes of a and b by turns, from the first half (0) or the second (1)."""
        first = half * self.lanes // 2
        order = [first + i // 2 + (i % 2) * self.lanes for i in range(self.lanes)]
        kind = ir.VectorType(ir.IntType(32), self.lanes)
        return self.builder.shuffle_vector(a, b, ir.Constant(kind, order))


def _data(context: Any, builder: ir.IRBuilder, array_type: Any, value: Any) -> Any:
    return make_array(array_type)(context, builder, value).data


def _values(context: Any, builder: ir.IRBuilder, kinds: Any, args: Any) -> list[Any]:
    """An intrinsic's arguments, with an array's data for each array."""
    return [
        _data(context, builder, kind, value) if isinstance(kind, types.Array) else value
        for kind, value in zip(kinds, args, strict=True)
    ]


def _loop_id(module: ir.Module, said: Any) -> Any:
    """A loop's metadata, whose first operand is itself."""
    node = ir.MDValue(module, [said], str(len(module.metadata)))
    node.operands = (node, said)
    return node


def _for(
    builder: ir.IRBuilder, count: Any, state: list[Any], body: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """State after `count` >= 1 rounds of state = body(round, state), in registers."""
    before = builder.block
    loop = builder.append_basic_block("rounds")
    after = builder.append_basic_block("rounds.end")
    builder.branch(loop)
    builder.position_at_end(loop)
    number = builder.phi(INDEX)
    held = [builder.phi(value.type) for value in state]
    number.add_incoming(INDEX(0), before)
    for phi, value in zip(held, state, strict=True):
        phi.add_incoming(value, before)
    found = body(number, held)
    following = builder.add(number, INDEX(1))
    number.add_incoming(following, builder.block)
    for phi, value in zip(held, found, strict=True):
        phi.add_incoming(value, builder.block)
    branch = builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    # For some processors LLVM would unroll the tile, whose sums then leave the registers.
    module = builder.module
    said = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    branch.set_metadata("llvm.loop", _loop_id(module, said))
    builder.position_at_end(after)
    return found


def _pieces(
    builder: ir.IRBuilder, end: Any, sizes: tuple[int, ...], body: Callable[[Any, int], None]
) -> None:
    """body(first, size) for 0 to end, in pieces of the sizes, the largest first, the last 1."""
    done: Any = INDEX(0)
    for size in sizes:
        rounds = builder.sdiv(builder.sub(end, done), INDEX(size))

        def piece(i: Any, _: list[Any], done: Any = done, size: int = size) -> list[Any]:
            body(builder.add(done, builder.mul(i, INDEX(size))), size)
            return []

        with builder.if_then(builder.icmp_signed(">", rounds, INDEX(0))):
            _for(builder, rounds, [], piece)
        done = builder.add(done, builder.mul(rounds, INDEX(size)))


@intrinsic
def tile(
    typingctx, like, b, b_taps, b_tap, a, a_rows, a_row, a_taps, a_tap, count, out, out_rows, bias,
    out_row, is_first, n_rows, n_columns, fetched, fetched_taps, fetched_tap,
):  # fmt: skip
    """Add sum_k a[m, k] * b[k, :] to out's rows m; if is_first, start them with their bias.

    For k < count, count >= 1; m < n_rows <= ISA.rows; n_columns <= ISA.vectors * LANES columns, or
    WIDE_VECTORS * LANES if n_rows <= WIDE_ROWS.
    b, a and out are addresses of elements of the dtype of the array like. a[m, k] stands at
    a + a_rows[a_row + m] + a_taps[a_tap + k]; b[k] starts at b + b_taps[b_tap + k], and whole
    vectors of it are read; out's row m starts at out + out_rows[out_row + m], its bias is
    bias[out_row + m]. a_rows and out_rows have entries for ISA.rows rows; a_taps and b_taps have
    one after the last tap's, of any value. The sum over k is one chain of fused multiply-adds from
    0; what out held (or bias) is added then.

    What is read next may come from afar: where the address fetched is not 0, each tap asks for the
    cache line at fetched + fetched_taps[fetched_tap + k], whatever is there, in L2. A tile of few
    rows or of one vector asks for nothing.
    """
    address = index = types.int64
    signature = types.void(
        like, address, b_taps, index, address, a_rows, index, a_taps, index, index, address,
        out_rows, bias, index, types.boolean, index, index, address, fetched_taps, index,
    )  # fmt: skip

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        _call_shared(context, builder, "tile", _emit_tiles, like.dtype, sig, args, (0, 3, 9, 16))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def pack_tile(
    typingctx, like, panel, b, b_taps, b_tap, seams, a, a_rows, a_row, a_taps, a_tap, count, out,
    out_rows, bias, out_row, is_first, n_rows,
):  # fmt: skip
    """What tile does with ISA.vectors whole vectors, read where they stand and put in the panel.

    The panel is an address too: its rows of ISA.vectors vectors follow one another. seams, as
    find_seams says, after b + b_taps[b_tap + k]: where each vector's first elements start, where
    its last do; how many runs vectors have at most, 3 for more; where all elements stand.
    """
    address = index = types.int64
    signature = types.void(
        like, address, address, b_taps, index, seams, address, a_rows, index, a_taps, index, index,
        address, out_rows, bias, index, types.boolean, index,
    )  # fmt: skip

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        if ISA.vector_bytes == PACKING_BYTES:  # others never come here
            _call_shared(
                context, builder, "pack_tile", _emit_pack_tiles, like.dtype, sig, args,
                (0, 1, 5, 11),
            )  # fmt: skip
        return context.get_dummy_value()

    return signature, codegen


def _call_shared(
    context: Any, builder: ir.IRBuilder, name: str, write: Callable[..., None], dtype: Any,
    sig: Any, args: Any, addresses: tuple[int, ...],
) -> None:  # fmt: skip
    """Call a function of the module that is compiled once, however often it is called.

    write(emit, *arguments) emits its body; its arguments are the intrinsic's but the first, those
    at the numbers `addresses` as pointers.
    """
    values = _values(context, builder, sig.args[1:], args[1:])
    element = context.get_value_type(dtype)
    for place in addresses:
        values[place] = builder.inttoptr(values[place], element.as_pointer())
    # What else is in the process, as a copy of this package, may have a function of its own.
    full_name = f"convformance_{name}_{dtype}_{SOURCES}"
    kinds = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    function = cgutils.get_or_insert_function(builder.module, kinds, full_name)
    if function.is_declaration:
        # One for all functions that are linked into a kernel: each with its own took 1.07 of the
        # time.
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        body = ir.IRBuilder(function.append_basic_block())
        write(_Emitter(context, body, dtype), *function.args)
        body.ret_void()
    builder.call(function, values)


def _emit_tiles(emit: _Emitter, *arguments: Any) -> None:
    """Emit the tiles of all sizes, and what chooses one."""
    builder, operands = emit.builder, _Operands(*arguments[:-3])
    fetched, fetched_taps, fetched_tap = arguments[-3:]
    sizes = [
        (rows_from, rows, vectors)
        for rows, rows_from in pairwise((ISA.rows, ISA.few_rows, 0))
        for vectors in range(ISA.vectors, 0, -1)
    ]
    sizes.append((0, WIDE_ROWS, WIDE_VECTORS))
    table = builder.gep(fetched_taps, [fetched_tap])
    is_fetched = builder.icmp_signed("!=", builder.ptrtoint(fetched, INDEX), INDEX(0))

    def fetch(k: Any) -> None:
        emit.prefetch(builder.gep(fetched, [builder.load(builder.gep(table, [k]))]), level=2)

    for rows_from, rows, vectors in sizes:
        columns_from = (vectors - 1) * emit.lanes
        is_it = builder.and_(
            _between(builder, operands.n_rows, rows_from, rows),
            _between(builder, operands.n_columns, columns_from, columns_from + emit.lanes),
        )
        with builder.if_then(is_it):
            take = partial(_load, emit, vectors)
            if rows < ISA.rows or vectors == 1:
                _emit_tile(emit, rows, vectors, operands, take)
                continue
            with builder.if_else(is_fetched) as (then, otherwise):
                with then:
                    _emit_tile(emit, rows, vectors, operands, take, fetch)
                with otherwise:
                    _emit_tile(emit, rows, vectors, operands, take)


def _load(emit: _Emitter, vectors: int, k: Any, here: Any) -> list[Any]:
    return [emit.load(emit.builder.gep(here, [INDEX(v * emit.lanes)])) for v in range(vectors)]


def _emit_pack_tiles(
    emit: _Emitter, panel: Any, b: Any, b_taps: Any, b_tap: Any, seams: Any, *others: Any
) -> None:
    """Emit the tile that packs a panel: for vectors of one run, of two, and of more."""
    builder, gep = emit.builder, emit.builder.gep
    count = ISA.vectors
    heads, tails, places = (
        [gep(seams, [INDEX(first + step * v)]) for v in range(count)]
        for first, step in ((0, 1), (count, 1), (2 * count + 1, emit.lanes))
    )
    heads, tails = ([builder.load(pointer) for pointer in each] for each in (heads, tails))
    most_runs = builder.load(gep(seams, [INDEX(2 * count)]))
    masks, orders = [], []
    for ends in zip(places, heads, tails, strict=True):
        from_head, from_tail = emit.distances(ends[0], ends[1:])
        masks.append(emit.compare("!=", from_head, list(range(emit.lanes))))
        beyond = builder.add(from_tail, ir.Constant(from_tail.type, [emit.lanes] * emit.lanes))
        is_near = emit.compare("<", from_head, emit.lanes)
        orders.append(builder.select(is_near, from_head, beyond))
    operands = _Operands._make((b, b_taps, b_tap, *others, INDEX(count * emit.lanes)))

    def take(runs: int, k: Any, here: Any) -> list[Any]:
        values = [emit.load(gep(here, [head])) for head in heads]
        lasts = [gep(here, [tail]) for tail in tails]
        if runs == 2:
            values = [emit.load_masked(*each) for each in zip(lasts, masks, values, strict=True)]
        elif runs > 2:
            found = [emit.load(last) for last in lasts]
            values = [emit.pick(*each) for each in zip(values, found, orders, strict=True)]
        row = gep(panel, [builder.mul(k, INDEX(count * emit.lanes))])
        for v, value in enumerate(values):
            emit.store(value, gep(row, [INDEX(v * emit.lanes)]))
        return values

    for runs in (1, 2, 3):
        with builder.if_then(builder.icmp_signed("==", most_runs, INDEX(runs))):
            _emit_tile(emit, ISA.rows, count, operands, partial(take, runs))


def _between(builder: ir.IRBuilder, value: Any, low: int, high: int) -> Any:
    """Whether low < value <= high."""
    return builder.and_(
        builder.icmp_signed(">", value, INDEX(low)), builder.icmp_signed("<=", value, INDEX(high))
    )


class _Operands(NamedTuple):
    """What the tile's function is given, as LLVM values; see tile."""

    b: Any
    b_taps: Any
    b_tap: Any
    a: Any
    a_rows: Any
    a_row: Any
    a_taps: Any
    a_tap: Any
    count: Any
    out: Any
    out_rows: Any
    bias: Any
    out_row: Any
    is_first: Any
    n_rows: Any
    n_columns: Any


def _emit_tile(
    emit: _Emitter, rows: int, vectors: int, operands: _Operands,
    take: Callable[[Any, Any], list[Any]], fetch: Callable[[Any], None] | None = None,
) -> None:  # fmt: skip
    """Emit a tile of rows x vectors: its loop over taps, then the writing of its sums.

    take(k, here): the vectors of b[k], which starts at the pointer. fetch(k): what else a tap does.
    """
    builder = emit.builder
    gep = builder.gep
    b, b_taps, b_tap, a, a_rows, a_row, a_taps, a_tap, count = operands[:9]
    out, out_rows, bias, out_row, is_first, n_rows, n_columns = operands[9:]

    def entry(table: Any, row: Any, m: int) -> Any:
        return builder.load(gep(table, [builder.add(row, INDEX(m))]))

    a_pointers = [gep(a, [entry(a_rows, a_row, m)]) for m in range(rows)]
    a_taps = gep(a_taps, [a_tap])
    b_taps = gep(b_taps, [b_tap])
    # Out's lines are on their way while the sums are made: 1.1 times as fast where it is large.
    for m in range(rows):
        start = gep(out, [entry(out_rows, out_row, m)])
        for column in (*range(0, vectors * emit.lanes, emit.lanes), vectors * emit.lanes - 1):
            emit.prefetch(gep(start, [INDEX(column)]), is_written=True)

    def step(k: Any, held: list[Any]) -> list[Any]:
        a_at, b_at, *sums = held
        following = builder.add(k, INDEX(1))
        values = take(k, gep(b, [b_at]))
        next_b_at = builder.load(gep(b_taps, [following]))
        scalars, found = [], []
        for m in range(rows + EARLY_SCALARS):
            if m < rows:
                scalars.append(emit.splat(builder.load(gep(a_pointers[m], [a_at]))))
            if m == rows - 1:
                # Here a_at's register is free.
                if fetch:
                    fetch(k)
                next_a_at = builder.load(gep(a_taps, [following]))
            if m >= EARLY_SCALARS:
                row = m - EARLY_SCALARS
                before = sums[row * vectors : (row + 1) * vectors]
                products = zip(values, before, strict=True)
                found += emit.done([emit.fma(scalars[row], *each) for each in products])
        return [next_a_at, next_b_at, *found]

    first = [builder.load(table) for table in (a_taps, b_taps)]
    _, _, *sums = _for(builder, count, first + [emit.zero()] * (rows * vectors), step)
    masks = [emit.mask(builder.sub(n_columns, INDEX(v * emit.lanes))) for v in range(vectors)]

    for m in range(rows):
        with builder.if_then(builder.icmp_signed(">", n_rows, INDEX(m))):
            start = gep(out, [entry(out_rows, out_row, m)])
            places = [gep(start, [INDEX(v * emit.lanes)]) for v in range(vectors)]

            def write(begin: list[Any], m: int = m, places: list[Any] = places) -> None:
                for v, at in enumerate(places):
                    total = builder.fadd(sums[m * vectors + v], begin[v])
                    emit.store_masked(total, at, masks[v])

            with builder.if_else(is_first) as (then, otherwise):
                with then:
                    write([emit.splat(entry(bias, out_row, m))] * vectors)
                with otherwise:
                    write([emit.load_masked(at, masks[v]) for v, at in enumerate(places)])


@intrinsic
def pack_rows(typingctx, panel, panel_at, pitch, source, source_at, taps, tap, count, length):
    """panel[panel_at + k * pitch + j] = source[source_at + taps[tap + k] + j] for j < length.

    For k < count, count >= 1; 1 <= length <= ISA.vectors * LANES.
    """
    signature = types.void(
        panel, types.int64, types.int64, source, types.int64, taps, types.int64, types.int64,
        types.int64,
    )  # fmt: skip

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        panel_value, panel_at, pitch, source_value, source_at, taps_value, tap, count, length = args
        emit = _Emitter(context, builder, panel.dtype)
        target = builder.gep(_data(context, builder, panel, panel_value), [panel_at])
        origin = builder.gep(_data(context, builder, source, source_value), [source_at])
        table = builder.gep(_data(context, builder, taps, taps_value), [tap])

        def move(whole: int) -> None:
            """Move `whole` vectors and the masked rest, for every k."""
            mask = emit.mask(builder.sub(length, INDEX(whole * emit.lanes)))

            def step(k: Any, state: list[Any]) -> list[Any]:
                here = builder.gep(origin, [builder.load(builder.gep(table, [k]))])
                there = builder.gep(target, [builder.mul(k, pitch)])
                for v in range(whole):
                    at = [INDEX(v * emit.lanes)]
                    emit.store(emit.load(builder.gep(here, at)), builder.gep(there, at))
                at = [INDEX(whole * emit.lanes)]
                rest = emit.load_masked(builder.gep(here, at), mask)
                emit.store_masked(rest, builder.gep(there, at), mask)
                return []

            _for(builder, count, [], step)

        for whole in range(ISA.vectors):
            with builder.if_then(
                _between(builder, length, whole * emit.lanes, (whole + 1) * emit.lanes)
            ):
                move(whole)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def count_up(typingctx, out, at, first, count):
    """out[at + i] = first + i for i < count, and beyond: whole vectors of integers are written."""
    index = types.int64
    signature = types.void(out, index, index, index)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        out_value, at, first, count = args
        emit = _Emitter(context, builder, index)
        start = builder.gep(_data(context, builder, out, out_value), [at])
        numbers = ir.Constant(emit.vector, list(range(emit.lanes)))

        def vector(i: Any, state: list[Any]) -> list[Any]:
            x = builder.mul(i, lanes)
            value = builder.add(numbers, emit.splat(builder.add(first, x)))
            emit.store(value, builder.gep(start, [x]))
            return []

        lanes = INDEX(emit.lanes)
        vectors = builder.sdiv(builder.add(count, INDEX(emit.lanes - 1)), lanes)
        _for(builder, vectors, [], vector)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def find_ends(typingctx, like, seams):
    """Fill in what seams say beside places; returns how many runs vectors have at most.

    One, two, 3 for more; 0 if pack_tile cannot read them (see find_seams).
    """
    signature = types.int64(like, seams)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        emit = _Emitter(context, builder, like.dtype)
        table, count = _data(context, builder, seams, args[1]), ISA.vectors
        numbers = list(range(emit.lanes))
        are: list[Any] = [ir.IntType(1)(1)] * 3

        def entry(i: int) -> Any:
            return builder.gep(table, [INDEX(i)])

        for v in range(count):
            first = 2 * count + 1 + v * emit.lanes
            head, last = (builder.load(entry(i)) for i in (first, first + emit.lanes - 1))
            tail = builder.sub(last, INDEX(emit.lanes - 1))
            builder.store(head, entry(v))
            builder.store(tail, entry(count + v))
            from_head, from_tail = emit.distances(entry(first), (head, tail))
            is_one = builder.icmp_signed("==", head, tail)
            pairs = (
                (emit.compare("==", from_head, numbers), emit.compare("==", from_tail, numbers)),
                (emit.compare("<", from_head, emit.lanes), emit.compare(">=", from_tail, 0)),
            )
            is_two, can_be = (emit.all(builder.or_(*pair)) for pair in pairs)
            are = [builder.and_(*each) for each in zip(are, (is_one, is_two, can_be), strict=True)]
        runs = INDEX(0)
        for number, is_so in zip((3, 2, 1), reversed(are), strict=True):
            runs = builder.select(is_so, INDEX(number), runs)
        builder.store(runs, entry(2 * count))
        return runs

    return signature, codegen


@intrinsic
def pack_columns(
    typingctx, panel, panel_at, lines, line, source, source_at, columns, column, length
):  # fmt: skip
    """panel[panel_at + lines[line + j] + i] = source[source_at + columns[column + i] + j].

    For i < LANES, j < length; 1 <= length <= LANES.
    """
    index = types.int64
    signature = types.void(
        panel, index, lines, index, source, index, columns, index, index
    )  # fmt: skip

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        panel_value, panel_at, lines_value, line, source_value, source_at = args[:6]
        columns_value, column, length = args[6:]
        emit = _Emitter(context, builder, panel.dtype)
        target = builder.gep(_data(context, builder, panel, panel_value), [panel_at])
        places = builder.gep(_data(context, builder, lines, lines_value), [line])
        origin = builder.gep(_data(context, builder, source, source_value), [source_at])
        table = builder.gep(_data(context, builder, columns, columns_value), [column])
        mask = emit.mask(length)
        starts = [builder.load(builder.gep(table, [INDEX(i)])) for i in range(emit.lanes)]
        square = [emit.load_masked(builder.gep(origin, [start]), mask) for start in starts]
        # Zipping the first half of the lines with the second, log2(LANES) times, transposes them.
        half = emit.lanes // 2
        for _ in range(emit.lanes.bit_length() - 1):
            square = [
                emit.zip(square[i], square[i + half], side) for i in range(half) for side in (0, 1)
            ]

        def write(j: int) -> None:
            place = builder.load(builder.gep(places, [INDEX(j)]))
            emit.store(square[j], builder.gep(target, [place]))

        is_whole = builder.icmp_signed("==", length, INDEX(emit.lanes))
        with builder.if_else(is_whole) as (then, otherwise):
            with then:
                for j in range(emit.lanes):
                    write(j)
            with otherwise:
                for j in range(emit.lanes - 1):
                    with builder.if_then(builder.icmp_signed(">", length, INDEX(j))):
                        write(j)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def write_pairs(typingctx, out, at, out_rows, values, even, odd, pitch, rows, count):
    """Zip rows: of out's row i, at + out_rows[i], values 2 * j and 2 * j + 1 become
    values[even + i * pitch + j] and values[odd + i * pitch + j], `count` in all.

    For i < rows, rows >= 1; count >= 1; whole vectors of values are read.
    """
    index = types.int64
    signature = types.void(out, index, out_rows, values, index, index, index, index, index)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        out_value, at, rows_value, values_value, even, odd, pitch, rows, count = args
        emit = _Emitter(context, builder, out.dtype)
        gep = builder.gep
        target = gep(_data(context, builder, out, out_value), [at])
        table = _data(context, builder, out_rows, rows_value)
        source = _data(context, builder, values, values_value)

        def write(v: Any, state: list[Any]) -> list[Any]:
            """Write a vector of each for every row."""
            done = builder.mul(v, INDEX(emit.lanes))
            places = [builder.add(builder.mul(done, INDEX(2)), INDEX(n)) for n in (0, emit.lanes)]
            masks = [emit.mask(builder.sub(count, place)) for place in places]
            starts = [builder.add(first, done) for first in (even, odd)]

            def row(i: Any, state: list[Any]) -> list[Any]:
                here = gep(target, [builder.load(gep(table, [i]))])
                there = gep(source, [builder.mul(i, pitch)])
                a, b = (emit.load(gep(there, [start])) for start in starts)
                for half, (place, mask) in enumerate(zip(places, masks, strict=True)):
                    emit.store_masked(emit.zip(a, b, half), gep(here, [place]), mask)
                return []

            return _for(builder, rows, [], row)

        pairs = INDEX(2 * emit.lanes)
        vectors = builder.sdiv(builder.add(count, INDEX(2 * emit.lanes - 1)), pairs)
        _for(builder, vectors, [], write)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def move_rows(
    typingctx, target, target_at, target_pitch, source, source_at, source_pitch, rows, columns
):  # fmt: skip
    """target[target_at + p * target_pitch + q] = source[source_at + p * source_pitch + q].

    For p < rows, q < columns, all >= 1.
    """
    index = types.int64
    signature = types.void(target, index, index, source, index, index, index, index)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        emit = _Emitter(context, builder, target.dtype)
        target_value, target_at, target_pitch, source_value, source_at, source_pitch = args[:6]
        rows, columns = args[6:]
        to = builder.gep(_data(context, builder, sig.args[0], target_value), [target_at])
        origin = builder.gep(_data(context, builder, sig.args[3], source_value), [source_at])
        vectors = builder.sdiv(builder.add(columns, INDEX(emit.lanes - 1)), INDEX(emit.lanes))

        def row(p: Any, state: list[Any]) -> list[Any]:
            there = builder.gep(to, [builder.mul(p, target_pitch)])
            here = builder.gep(origin, [builder.mul(p, source_pitch)])

            def vector(v: Any, state: list[Any]) -> list[Any]:
                q = builder.mul(v, INDEX(emit.lanes))
                mask = emit.mask(builder.sub(columns, q))
                value = emit.load_masked(builder.gep(here, [q]), mask)
                emit.store_masked(value, builder.gep(there, [q]), mask)
                return []

            return _for(builder, vectors, [], vector)

        _for(builder, rows, [], row)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def take_rows(
    typingctx, target, target_at, phases, plane, source, source_at, top, step_h, height, left,
    step_w, width, rows, columns,
):  # fmt: skip
    """target[target_at + f * plane + i * columns + j] = source[source_at + y * width + x].

    0 where outside. For f < phases, i < rows, j < columns, all >= 1; y = top + i * step_h, x = left
    + j * step_w + f; inside is 0 <= y < height and 0 <= x < width. phases is 1, or with step_w one
    of TAKEN_PHASES.
    """
    index = types.int64
    signature = types.void(target, index, index, index, source, *(index,) * 9)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        emit = _Emitter(context, builder, target.dtype)
        gep, lanes = builder.gep, INDEX(emit.lanes)
        phases, plane = args[2:4]
        to = gep(_data(context, builder, sig.args[0], args[0]), [args[1]])
        origin = gep(_data(context, builder, sig.args[4], args[4]), [args[5]])
        top, step_h, height, left, step_w, width, rows, columns = args[6:]
        vectors = builder.sdiv(builder.add(columns, INDEX(emit.lanes - 1)), lanes)

        def take(every: Callable[[Any, Any, Any], list[Any]]) -> None:
            """Take all rows; every(line, x, end): a vector of each phase of a line up to `end`."""

            def row(i: Any, state: list[Any]) -> list[Any]:
                y = builder.add(top, builder.mul(i, step_h))
                there = gep(to, [builder.mul(i, columns)])
                line = gep(origin, [builder.mul(y, width)])
                is_inside = builder.icmp_unsigned("<", y, height)
                end = builder.select(is_inside, width, INDEX(0))

                def vector(v: Any, state: list[Any]) -> list[Any]:
                    j = builder.mul(v, lanes)
                    x = builder.add(left, builder.mul(j, step_w))
                    mask = emit.mask(builder.sub(columns, j))
                    found = every(line, x, end)
                    for f, value in enumerate(found):
                        ahead = builder.add(x, INDEX(AHEAD_BYTES // emit.bytes + f * emit.lanes))
                        emit.prefetch(gep(line, [ahead]))
                        place = builder.add(j, builder.mul(plane, INDEX(f)))
                        emit.store_masked(value, gep(there, [place]), mask)
                    return []

                return _for(builder, vectors, [], vector)

            _for(builder, rows, [], row)

        is_other = ir.IntType(1)(1)
        for step, count in TAKEN_PHASES:
            is_it = builder.and_(
                builder.icmp_signed("==", step_w, INDEX(step)),
                builder.icmp_signed("==", phases, INDEX(count)),
            )
            is_other = builder.and_(is_other, builder.not_(is_it))
            with builder.if_then(is_it):
                take(partial(emit.load_phases, step, count))
        with builder.if_then(is_other):
            take(lambda line, x, end: [emit.gather(step_w, line, x, end)])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def sweep(
    typingctx, sums, sums_at, source, source_at, source_taps, a, a_at, a_taps, tap, count, bias,
    length,
):  # fmt: skip
    """sums[sums_at + i] = bias + sum_k a[k] * source[k, i] for i < length.

    For k < count, count >= 1, length >= 1; whole vectors of source are read and of sums written.
    a[k] stands at a_at + a_taps[tap + k], source[k, i] at source_at + source_taps[tap + k] + i. The
    sum over k is one chain of fused multiply-adds from the bias.
    """
    index = types.int64
    signature = types.void(
        sums, index, source, index, source_taps, a, index, a_taps, index, index, sums.dtype, index
    )

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        emit = _Emitter(context, builder, sums.dtype)
        gep = builder.gep
        values = _values(context, builder, sig.args, args)
        to, sums_at, origin, source_at, offsets, weight, a_at, a_offsets = values[:8]
        tap, count, bias, length = values[8:]
        to, origin, weight = gep(to, [sums_at]), gep(origin, [source_at]), gep(weight, [a_at])
        offsets, a_offsets = gep(offsets, [tap]), gep(a_offsets, [tap])

        def fill(number: Any, vectors: int) -> None:
            """Sum `vectors` vectors, from that number on."""
            first = builder.mul(number, INDEX(emit.lanes))
            places = [builder.add(first, INDEX(v * emit.lanes)) for v in range(vectors)]

            def step(k: Any, held: list[Any]) -> list[Any]:
                here = gep(origin, [builder.load(gep(offsets, [k]))])
                value = builder.load(gep(weight, [builder.load(gep(a_offsets, [k]))]))
                scalar = emit.splat(value)
                return [
                    emit.fma(scalar, emit.load(gep(here, [place])), total)
                    for place, total in zip(places, held, strict=True)
                ]

            totals = _for(builder, count, [emit.splat(bias)] * vectors, step)
            for place, total in zip(places, totals, strict=True):
                emit.store(total, gep(to, [place]))

        vectors = builder.sdiv(builder.add(length, INDEX(emit.lanes - 1)), INDEX(emit.lanes))
        _pieces(builder, vectors, (SWEEP_VECTORS, 1), fill)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def sweep_rows(
    typingctx, out, at, pitch, source, source_at, source_pitch, a, a_at, a_taps, tap, tap_step,
    height, width, dilation, bias, rows, columns,
):  # fmt: skip
    """out[p, q] = bias + sum_r,s a[r, s] * source[p + r, q + s * dilation].

    For p < rows, q < columns, all >= 1; r < height, one of SWEPT_HEIGHTS; s < width. out[p, q]
    stands at at + p * pitch + q, source[p, q] at source_at + p * source_pitch + q, of which
    SWEPT_ROWS rows and SWEPT_VECTORS vectors more are read; a[r, s] at a_at + a_taps[tap + tap_step
    * (r * width + s)]. The sum is one chain of fused multiply-adds from the bias, column by column.
    """
    index = types.int64
    signature = types.void(
        out, index, index, source, index, index, a, index, a_taps, *(index,) * 5, out.dtype,
        index, index,
    )  # fmt: skip

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        emit = _Emitter(context, builder, out.dtype)
        gep, add, mul = builder.gep, builder.add, builder.mul
        values = _values(context, builder, sig.args, args)
        to, at, pitch, origin, source_at, source_pitch, weight, a_at, offsets = values[:9]
        tap, tap_step, height, width, dilation, bias, rows, columns = values[9:]
        to, origin, weight = gep(to, [at]), gep(origin, [source_at]), gep(weight, [a_at])
        offsets = gep(offsets, [tap])

        def block(tall: int, vectors: int, p: Any, q: Any) -> None:
            """Sum SWEPT_ROWS rows from p on, and `vectors` vectors from column q on."""
            window = gep(origin, [add(mul(p, source_pitch), q)])

            def step(s: Any, held: list[Any]) -> list[Any]:
                scalars = []
                for r in range(tall):
                    number = mul(tap_step, add(mul(width, INDEX(r)), s))
                    here = gep(weight, [builder.load(gep(offsets, [number]))])
                    scalars.append(emit.splat(builder.load(here)))
                start, found = gep(window, [mul(s, dilation)]), list(held)
                for i in range(SWEPT_ROWS + tall - 1):
                    line = gep(start, [mul(source_pitch, INDEX(i))])
                    for v in range(vectors):
                        value = emit.load(gep(line, [INDEX(v * emit.lanes)]))
                        for r in range(max(0, i - SWEPT_ROWS + 1), min(tall, i + 1)):
                            k = (i - r) * vectors + v
                            found[k] = emit.fma(scalars[r], value, found[k])
                return found

            sums = _for(builder, width, [emit.splat(bias)] * (SWEPT_ROWS * vectors), step)
            left = builder.sub(columns, q)
            masks = [emit.mask(builder.sub(left, INDEX(v * emit.lanes))) for v in range(vectors)]
            for i in range(SWEPT_ROWS):
                row = add(p, INDEX(i))
                with builder.if_then(builder.icmp_signed("<", row, rows)):
                    line = gep(to, [add(mul(row, pitch), q)])
                    for v in range(vectors):
                        place = gep(line, [INDEX(v * emit.lanes)])
                        emit.store_masked(sums[i * vectors + v], place, masks[v])

        def sweep_all(tall: int) -> None:
            """Sum all rows and columns with a kernel so tall."""
            most = INDEX(SWEPT_VECTORS * emit.lanes)
            count = builder.sdiv(add(rows, INDEX(SWEPT_ROWS - 1)), INDEX(SWEPT_ROWS))
            across = builder.sdiv(add(columns, builder.sub(most, INDEX(1))), most)

            def down(i: Any, state: list[Any]) -> list[Any]:
                p = mul(i, INDEX(SWEPT_ROWS))

                def piece(j: Any, state: list[Any]) -> list[Any]:
                    q = mul(j, most)
                    is_narrow = builder.icmp_signed(
                        "<=", builder.sub(columns, q), INDEX(emit.lanes)
                    )
                    with builder.if_else(is_narrow) as (then, otherwise):
                        with then:
                            block(tall, 1, p, q)
                        with otherwise:
                            block(tall, SWEPT_VECTORS, p, q)
                    return []

                return _for(builder, across, [], piece)

            _for(builder, count, [], down)

        for tall in SWEPT_HEIGHTS:
            with builder.if_then(builder.icmp_signed("==", height, INDEX(tall))):
                sweep_all(tall)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def dots(
    typingctx, sums, sums_at, sums_pitch, a, a_at, a_plane, a_pitch, source, source_at, source_taps,
    tap, source_pitch, planes, count, rows, columns,
):  # fmt: skip
    """Add products of planes: sums[n, k] += sum_p,q a[n, p, q] * source[k, p, q].

    For n < planes, k < count, p < rows, q < columns, all >= 1. sums[n, k] stands at
    sums_at + n * sums_pitch + k, a[n, p, q] at a_at + n * a_plane + p * a_pitch + q, and
    source[k, p, q] at source_at + source_taps[tap + k] + p * source_pitch + q.
    """
    index = types.int64
    signature = types.void(
        sums, index, index, a, index, index, index, source, index, source_taps, *(index,) * 6
    )

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        emit = _Emitter(context, builder, sums.dtype)
        gep = builder.gep
        values = _values(context, builder, sig.args, args)
        to, sums_at, sums_pitch, a_data, a_at, a_plane, a_pitch = values[:7]
        origin, source_at, offsets, tap, source_pitch, planes, count, rows, columns = values[7:]
        to, a_data = gep(to, [sums_at]), gep(a_data, [a_at])
        origin, offsets = gep(origin, [source_at]), gep(offsets, [tap])
        vectors = builder.sdiv(builder.add(columns, INDEX(emit.lanes - 1)), INDEX(emit.lanes))

        def add(first_plane: Any, n_planes: int, first: Any, taps: int) -> None:
            """Add the products of some planes of a with some of source."""
            numbers = [builder.add(first_plane, INDEX(n)) for n in range(n_planes)]
            given = [gep(a_data, [builder.mul(number, a_plane)]) for number in numbers]
            places = [builder.add(first, INDEX(k)) for k in range(taps)]
            starts = [gep(origin, [builder.load(gep(offsets, [place]))]) for place in places]

            def row(p: Any, held: list[Any]) -> list[Any]:
                a_row, source_row = builder.mul(p, a_pitch), builder.mul(p, source_pitch)

                def vector(v: Any, held: list[Any]) -> list[Any]:
                    q = builder.mul(v, INDEX(emit.lanes))
                    mask = emit.mask(builder.sub(columns, q))
                    here, there = builder.add(a_row, q), builder.add(source_row, q)
                    ours = [emit.load_masked(gep(start, [here]), mask) for start in given]
                    found = []
                    for k, start in enumerate(starts):
                        value = emit.load_masked(gep(start, [there]), mask)
                        totals = held[k * n_planes : (k + 1) * n_planes]
                        found += [
                            emit.fma(one, value, total)
                            for one, total in zip(ours, totals, strict=True)
                        ]
                    return found

                return _for(builder, vectors, held, vector)

            totals = _for(builder, rows, [emit.zero()] * (taps * n_planes), row)
            for i, total in enumerate(totals):
                k, n = divmod(i, n_planes)
                here = gep(to, [builder.add(builder.mul(numbers[n], sums_pitch), places[k])])
                builder.store(builder.fadd(builder.load(here), emit.total(total)), here)

        def some(first_plane: Any, n_planes: int) -> None:
            _pieces(builder, count, DOTS_TAPS[n_planes], partial(add, first_plane, n_planes))

        _pieces(builder, planes, tuple(DOTS_TAPS), some)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def sum_lanes(
    typingctx, sums, sums_at, sums_pitch, sums_step, source, pitch, step, source_taps, weights, tap,
    bias, count, rows, columns,
):  # fmt: skip
    """Sums with a channel in each lane: sums[p, q] = bias + sum_k weights[k] * source[p, q, k].

    For p < rows, q < columns, k < count, all >= 1, each a vector: sums[p, q] starts at sums_at +
    p * sums_pitch + q * sums_step, weights[k] at (tap + k) * LANES, source[p, q, k] at p * pitch +
    q * step + source_taps[tap + k].
    """
    index = types.int64
    signature = types.void(
        sums, index, index, index, source, index, index, source_taps, weights, index, bias, index,
        index, index,
    )  # fmt: skip

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        emit, gep, mul = _Emitter(context, builder, sums.dtype), builder.gep, builder.mul
        values = _values(context, builder, sig.args, args)
        to, sums_at, sums_pitch, sums_step, origin, pitch, step, offsets, given, tap = values[:10]
        start, count, rows, columns = values[10:]
        to, offsets = gep(to, [sums_at]), gep(offsets, [tap])
        given = gep(given, [mul(tap, INDEX(emit.lanes))])

        def fill(step: Any, p: Any, tall: int, q: Any, wide: int) -> None:
            """Sum windows: `tall` lines from p on, `wide` of each from q on."""
            lines = [builder.add(p, INDEX(i)) for i in range(tall)]
            starts = [gep(origin, [builder.add(mul(i, pitch), mul(q, step))]) for i in lines]

            def add(k: Any, held: list[Any]) -> list[Any]:
                one = emit.load(gep(given, [mul(k, INDEX(emit.lanes))]))
                offset = builder.load(gep(offsets, [k]))
                heres = [gep(start, [offset]) for start in starts]
                pointers = [gep(here, [mul(INDEX(j), step)]) for here in heres for j in range(wide)]
                return [
                    emit.fma(one, emit.load(pointer), total)
                    for pointer, total in zip(pointers, held, strict=True)
                ]

            totals = iter(_for(builder, count, [emit.load(start)] * (tall * wide), add))
            for i in lines:
                for j in range(wide):
                    at = builder.add(mul(i, sums_pitch), mul(builder.add(q, INDEX(j)), sums_step))
                    emit.store(next(totals), gep(to, [at]))

        def fill_all(step: Any) -> None:
            def fill_lines(p: Any, tall: int) -> None:
                _pieces(builder, columns, LANES_WINDOWS, partial(fill, step, p, tall))

            _pieces(builder, rows, LANES_LINES, fill_lines)

        # Of a known step, a line's windows are at a known distance: they need no register each.
        is_next = builder.icmp_signed("==", step, INDEX(emit.lanes))
        with builder.if_else(is_next) as (then, otherwise):
            with then:
                fill_all(INDEX(emit.lanes))
            with otherwise:
                fill_all(step)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def dot_lanes(
    typingctx, sums, source, pitch, step, source_taps, count, a, rows, columns
):  # fmt: skip
    """Add products with a channel in each lane: sums[k] += sum_p,q a[p, q] * source[p, q, k].

    For k < count, p < rows, q < columns, all >= 1, each a vector: sums[k] starts at k * LANES,
    a[p, q] at (p * columns + q) * LANES, source[p, q, k] at p * pitch + q * step + source_taps[k].
    """
    index = types.int64
    signature = types.void(sums, source, index, index, source_taps, index, a, index, index)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        emit, gep = _Emitter(context, builder, sums.dtype), builder.gep
        values = _values(context, builder, sig.args, args)
        to, origin, pitch, step, offsets, count, given, rows, columns = values

        def add(first: Any, size: int) -> None:
            places = [builder.add(first, INDEX(i)) for i in range(size)]
            starts = [gep(origin, [builder.load(gep(offsets, [place]))]) for place in places]
            sums = [gep(to, [builder.mul(place, INDEX(emit.lanes))]) for place in places]

            def row(p: Any, held: list[Any]) -> list[Any]:
                line, there = builder.mul(p, columns), builder.mul(p, pitch)

                def window(q: Any, held: list[Any]) -> list[Any]:
                    here = builder.mul(builder.add(line, q), INDEX(emit.lanes))
                    one = emit.load(gep(given, [here]))
                    place = builder.add(there, builder.mul(q, step))
                    return [
                        emit.fma(one, emit.load(gep(start, [place])), total)
                        for start, total in zip(starts, held, strict=True)
                    ]

                return _for(builder, columns, held, window)

            totals = _for(builder, rows, [emit.load(place) for place in sums], row)
            for place, total in zip(sums, totals, strict=True):
                emit.store(total, place)

        _pieces(builder, count, LANES_TAPS, add)
        return context.get_dummy_value()

    return signature, codegen
