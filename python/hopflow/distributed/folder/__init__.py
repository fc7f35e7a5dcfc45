"""The folder of a partitioned graph: written, opened, checked."""
