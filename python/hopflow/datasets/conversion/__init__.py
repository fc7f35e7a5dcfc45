"""Graph folders from sources larger than memory."""
