"""Measures this project against its peers, on one machine and in one run: `python -m benchmarks --help`."""
