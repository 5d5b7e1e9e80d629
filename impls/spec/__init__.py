"""What every operation means, once, without computing it.

    arrays.py     which arrays a call accepts
    params.py     PyTorch's parameter forms -> one value per axis
    shapes.py     output sizes along one axis, each with its source
    plan.py       Plan: a validated call, as shapes
    cost.py       flops and bytes of a call, and what is counted
    factors.py    Factor: what calls vary in, so that they can be made
    case.py       Case and ErrorCase: a call with the reason it is there
    op.py         OpSpec: the record of one operation
    ops/          one module per operation
    interface.py  the kernels a backend's author writes
    transpose.py  conv_transpose from the three kernels of conv

Everything above reads these records: the gate its rules, the conformance suite its cases, the
bench its costs. NumPy and the standard library only.
"""
