"""Layers for graphs of several node and edge types."""
