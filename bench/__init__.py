"""Times backends beside PyTorch and writes the reports.

python -m bench run --preset quick
python -m bench report reports/latest

workloads/     what is timed: layers of real networks
worker.py      one process: one backend beside PyTorch, checked and then timed
calls.py       what an arm runs: one workload and direction on a backend or on PyTorch
timing.py      rounds, samples and their clock
duel.py        the parent's side: starts workers, asks, and turns samples into rows
statistics.py  median ratio, interval, verdict; the only thresholds
row.py         the columns of a result
machine.py     what the machine is, and its measured ceilings
test_speed.py  the same through pytest-benchmark, the host
stored.py      files of a run folder, read back
report.py      pandas: stored runs -> tables, plots and pages
peers/         PyTorch as a backend, to be judged like any other
"""
