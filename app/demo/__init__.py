"""The demonstration: a made-up fleet with a made-up past, plainly labelled as such.

Everything follows from a plan (seed, size, end), so that the same plan gives the same fleet; the
benchmarks and tests use it too. Opens no connection to any host, and writes into a directory of
its own alone.
"""
