"""The graph and the block, and how they are made."""
