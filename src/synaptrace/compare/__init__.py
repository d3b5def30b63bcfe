"""Learning rules side by side: the same network, data, seeds and budget."""
