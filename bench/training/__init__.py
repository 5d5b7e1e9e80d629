"""Trains the document's SimpleCNN on handwritten digits, on backends and in PyTorch alike.

python -m bench.training --backend numba

All start from the same weights and see the same batches. In float32 they train to the end and are
then asked what the held-out fifth of the digits are; in float64 they take the first steps, in which
a backend's losses must be PyTorch's.

__main__.py  the command: trains, judges, stores, shows
digits.py    the digits, the held-out fifth, and which of them each step sees
pupils.py    what is trained: SimpleCNN on a backend, and the same in PyTorch
record.py    what train.json holds, and the verdict
section.py   train.json -> its section of the report
"""
