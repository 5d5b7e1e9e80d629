"""Times backends beside PyTorch and writes the reports.

python -m bench run --preset quick
python -m bench report reports/latest

workloads/     what is timed: layers of real networks
worker.py      one process: one backend beside PyTorch, checked and then timed
calls.py       what an arm runs: one workload and direction on a backend or on PyTorch
timing.py      rounds, samples and their clock
duel.py        the parent's side: starts workers, asks, until a row's claim is sure
statistics.py  median ratio, interval, claim, correction, flags; the only thresholds
results.py     rows from samples, just measured or stored
synthetic.py   samples that are made up, for tests
instrument.py  tests the harness on pairs whose true ratio is known
row.py         the columns of a result
machine.py     what the machine is, and its measured ceilings
fma.py         the peak: a compiled loop of multiply-adds
test_speed.py  the same through pytest-benchmark, the host
stored.py      files of a run folder, read back
runs.py        run folders: a journal while it lasts, run.json and samples.csv after
plan.py        what a run times, what is done, and how far it is
sitting.py     one sitting of a run, through pytest-benchmark; what is done is kept
sources.py     what was timed, as a digest
load.py        how busy the machine is beside us
passes.py      first call, memory, cold caches, threads, growth: beside the duel
pass_worker.py one process of a pass; pass_tables.py: passes.csv as tables and plots
sides.py       two revisions, timed in turn
compare.py     OLD beside NEW; change.py: from log ratios to the verdict on a change
merge.py       runs of several machines as one report
ratios.py      which ratios are believed, and how they are written
report.py      pandas: stored runs -> tables, plots and pages
dense.py       dense convolutions beside PyTorch and beside the machine's peak
matrix.py      backends by ops and levels: a table of scores, a badge each
training/      the document's SimpleCNN, trained on digits: nox -s train
walkthrough.py impls/document.md, section by section: nox -s docs
peers/         PyTorch as a backend, to be judged like any other; the decoy of instrument.py
"""
