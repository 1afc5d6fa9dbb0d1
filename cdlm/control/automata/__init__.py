"""Constraints as automata: from an expression over characters to the token sequences that satisfy it, followed exactly."""
