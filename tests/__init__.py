"""The tests of npvirt: a file per feature, names that are sentences."""
