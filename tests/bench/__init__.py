"""Benchmarks: `make bench` prints figures, as ratios within one run; none of them is a test."""
