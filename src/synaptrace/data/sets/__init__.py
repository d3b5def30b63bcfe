"""The data sets, one a file: where their files lie, how they are read, split and prepared."""
