"""Node embeddings that are learned from random walks, without features."""
