"""The suite's own tests: faulty backends, right ones, and what the suite says of each.

python -m conformance.meta --out reports/latest

sins.py     ways a kernel can sin
gates.py    ways a gate can
faults.py   FAULTS: every faulty backend, a line each
rights.py   RIGHTS: backends that are right in another way
matrix.py   the kill matrix: who catches whom, how soon
test_*.py   the suite's own tests
"""

# The kill matrix in a run folder, and what its first line says of it.
STORED = "faults.jsonl"
FORMAT = "convformance faults 1"
