"""Layers that pass messages: one file a layer."""
