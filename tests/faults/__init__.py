"""Faults made on purpose, and what npvirt promises under them: `make faults`, `make soak`.

A proof injects its faults into a real npvirt (a process, a collector, a scanner) and counts what it
tried, checked and injected. It is believed only because it was seen to fail: every proof names
the faults that can be planted into npvirt itself, and must find each of them.
"""
