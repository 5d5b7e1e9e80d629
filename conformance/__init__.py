"""Judges any backend against PyTorch: shapes, values, gradients and refusals.

pytest conformance --backend numba --level core

checks.py     what is promised: every check, from the op records
inputs.py     what backends are given
oracle.py     PyTorch's answers to a call
    networks.py   the document's layer and networks, in PyTorch beside a backend
tolerance.py  how close is close enough; the only tolerances of the project
verdict.py    Status and Verdict, comparison, and how a failure is told
judge.py      runs one check on one backend
ledger.py     counts verdicts, shows and stores them
test_*.py     one kind of check each
meta/         the suite's own tests: faulty backends, and that each is caught
"""
