"""A trained network as a C program (C99, no dependency, no allocation): `export`."""
