"""Every class of faults that implementations are known for is in the zoo, or why it cannot be."""

import pytest

from conformance.meta.faults import FAULTS

# What goes wrong: faults of the zoo that stand for it, of whatever kernel or method.
CLASSES = {
    "height and width exchanged": (
        "swaps the axes of stride", "swaps the axes of kernel_size", "swaps the axes of padding",
        "swaps the axes of dilation", "swaps the axes of output_padding",
        "hands stride over as (width, height)",
    ),
    "before and after exchanged, or taken for one another": (
        "takes the padding after for the one before", "pads after as before",
        "reads two paddings as before and after",
    ),
    "ceil_mode's last window starts in the padding": ("adds windows that start in the padding",),
    "a window larger than the input passes": ("accepts a kernel larger than the input",),
    "stride beyond the kernel": (
        "crashes where stride is beyond the kernel", "is not initialized where no window looks",
    ),
    "what stride leaves over": ("misses the rest that stride leaves",),
    "padding as wide as the kernel": ("ignores padding as wide as the kernel",),
    "a shortcut for 1 x 1": (
        "ignores stride where the kernel is 1 x 1", "ignores padding where the kernel is 1 x 1",
    ),
    "dilation by one less, or on one axis": (
        "dilates by one less", "ignores dilation on columns",
    ),
    "the odd pixel of same padding": ("puts the odd pixel of same padding first",),
    "views read as if dense": ("reads a view's memory as if dense",),
    "one channel taken for channels last": ("takes one channel for channels last",),
    "memory that no loop writes": (
        "is not initialized for an empty batch", "is not initialized without features",
    ),
    "an empty batch refused": ("crashes on an empty batch", "refuses an empty batch"),
    "reading past the end": ("reads on where a row ends",),
    "inputs changed, memory shared": (
        "changes its first array", "works in place", "returns one buffer for all calls",
        "hands its input through where all is positive",
    ),
    "places counted in too few bits": ("counts places in 8 bits", "counts places in 16 bits"),
    "the tail of a vector dropped": (
        "drops channels past 16", "drops columns past 48", "sums 16 channels at most",
    ),
    "one size alone": ("is wrong for 24 channels alone", "is wrong for planes of 64 x 64 alone"),
    "the weight's gradient of groups": ("belongs to the next group",),
    "the order of a multiplier's channels": ("orders the channels of groups outside in",),
    "the bias": (
        "ignores the bias", "adds the bias twice", "adds the first group's bias to all",
        "fills the strip of output_padding with zeros",
    ),
    "the bias's gradient": ("is averaged over the batch", "misses the last image"),
    "arguments in the wrong order": (
        "hands dilation over as groups", "takes ceil_mode for count_include_pad",
    ),
    "the strip of output_padding": (
        "fills the strip of output_padding with bias", "adds output_padding at the front",
        "ignores the strip of output_padding",
    ),
    "the size of a transposed output": (
        "ignores output_padding", "sizes its output without dilation",
    ),
    "padding that should crop": ("pads its input where it should crop its output",),
    "stride and dilation exchanged": ("swaps stride and dilation",),
    "the neighbor's gradient": ("takes the neighbor's grad_output if strided",),
    "output_padding beyond stride": ("accepts output_padding beyond stride",),
    "the layout of weights": (
        "takes inputs for outputs where they are as many", "flips the kernel",
        "transposes a square kernel",
    ),
    "what a maximum starts at": (
        "pads with 0", "starts at the lowest finite number",
        "starts at the smallest positive number",
    ),
    "NaN dropped, or only sometimes": (
        "ignores NaN", "keeps NaN only where it comes first",
        "ignores NaN in channels that 4 do not fill",
    ),
    "ties": (
        "takes the last of equals", "gives all equals the gradient", "gives equals no gradient",
    ),
    "what indices count": (
        "points into the padded image", "points into the window", "points into the whole batch",
        "points column by column",
    ),
    "windows that overlap": (
        "keeps the last of overlapping windows", "keeps the last of overlapping kernels",
    ),
    "sums shared by threads": (
        "shares its sums between callers", "misses the rows that threads do not share evenly",
    ),
    "the divisor of an average": (
        "always counts padding", "counts the ceil overhang", "clips rows by the columns' padding",
    ),
    "divisor_override": (
        "ignores divisor_override", "ignores divisor_override without counted padding",
    ),
    "0 / 0 in an empty window": ("adds windows that start in the padding",),
    "integers": ("accepts integers", "returns integers as int64"),
    "the default stride of a pool": ("steps by 1 if no stride is given",),
    "a square alone": ("covers a square alone",),
    "sums in too few bits": (
        "computes in half precision", "sums in half precision", "computes float64 in float32",
    ),
    "NaN that leaks": ("spreads NaN over the batch", "spreads NaN over the channels"),
    "zeros that are skipped": ("skips zero weights", "takes NaN for 0"),
    "TF32": ("rounds its first array as TF32 does",),
    "fast math": (
        "flushes subnormal numbers", "loses the sign of zero",
        "takes infinity for the largest finite number",
    ),
    "answers that depend on the run, the batch or threads": (
        "adds to the last answer", "remembers its first answer", "drops images past 4",
        "misses the last column of one image alone",
    ),
    "another dtype": ("returns float64", "returns int32 indices"),
    "relu's corners": ("takes NaN for 0", "is 1 at 0", "is 0 at NaN"),
    "gradients that ones cannot tell": (
        "flips grad_output", "reverses the batch of grad_output",
        "rolls the channels of grad_output", "averages grad_output",
    ),
    "gradients of one scale": ("takes the sign of grad_output alone",),
    "the order of patches": ("flattens channel by channel", "runs column by column"),
}  # fmt: skip

# What no kernel and no gate of one call can get wrong, and why.
NOT_EXPRESSIBLE = {
    "infinity times padding": "PyTorch's own kernels differ: shown, never judged",
    "a gradient of the current input": "calls keep no input; the document's layers, which do, are"
    " judged as networks",
    "finite differences across a tie": "a fault of suites; gradients are compared, not differenced",
    "patches added back": "the document's patches do not overlap",
}


@pytest.mark.parametrize("wrong", CLASSES)
def test_a_class_of_faults_is_in_the_zoo(wrong: str) -> None:
    assert set(CLASSES[wrong]) <= {fault.sin for fault in FAULTS}
    assert wrong not in NOT_EXPRESSIBLE
