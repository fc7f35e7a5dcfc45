"""Graphs made from graphs: reversed, with self-loops, without duplicates, parts."""
