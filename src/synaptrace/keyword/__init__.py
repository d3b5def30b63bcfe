"""Words of one user: learning from a few utterances, listening to a stream, recording."""
