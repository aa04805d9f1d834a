"""Benchmarks: each starts what it measures, stops it again, and ends with one line of JSON."""
