"""Throughput against other ways to do the same job, measured in one run: `make bench`."""
