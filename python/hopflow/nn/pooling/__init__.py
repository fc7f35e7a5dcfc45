"""Layers that make one row of each graph: readouts, with and without parameters."""
