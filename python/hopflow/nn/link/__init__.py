"""Scores of pairs of nodes, for link prediction and knowledge graphs."""
