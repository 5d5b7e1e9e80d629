"""Judges any backend against PyTorch: shapes, values, gradients and refusals.

pytest conformance --backend numba --level core
pytest conformance --backend numba --oracle none      # axioms, without PyTorch

checks.py     what is promised: every check, from the op records
covering.py   cases by construction: all pairs of what calls vary in
identify.py   which case tells a parameter from what it could be taken for
certificate.py  both, stored with a run
random_calls.py  calls by chance, and the smallest wrong one
inputs.py     what backends are given
oracle.py     PyTorch's answers to a call
networks.py   the document's layer and networks, in PyTorch beside a backend
axioms/       what holds whatever PyTorch says, as equations
tolerance.py  how close is close enough; the only tolerances of the project
verdict.py    Status and Verdict, comparison, and how a failure is told
judge.py      runs one check on one backend
ledger.py     what is promised, a row each, and their counts
jsonl.py      a run as it is stored: written, and read only if it is whole
known.py      failures that a backend's author expects, with reasons
versions.py   of packages; threads of their pools
test_*.py     one kind of check each
meta/         the suite's own tests: faulty backends, and that each is caught
"""
