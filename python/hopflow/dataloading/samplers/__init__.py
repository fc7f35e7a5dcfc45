"""Samplers: what turns the indices of a batch into graphs and blocks."""
