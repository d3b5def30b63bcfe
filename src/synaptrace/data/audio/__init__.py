"""Sound: wav files, features, their spikes, and clips of spoken words."""
