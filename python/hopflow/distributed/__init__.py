"""Graphs in parts: who owns which nodes, and the folder that holds the parts."""
