"""The folder of a graph: written, opened, checked."""
