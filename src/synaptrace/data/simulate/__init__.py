"""A simulated event camera: pictures that move, the camera fitted to N-MNIST's, and its data."""
