"""Speed: which workloads are timed, how, and the report of it."""
