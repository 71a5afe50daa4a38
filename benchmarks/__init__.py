"""One module per row of workloads; `python -m benchmarks` runs them and writes RESULTS.md.

Each module has `NAME`, `GOAL` and `run(bench) -> list[Row]`, and checks that what it timed was
right: a fast wrong run raises and scores nothing.
"""
