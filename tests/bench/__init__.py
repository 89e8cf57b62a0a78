"""What `make bench` measures: ours beside the smallest honest program that does the same, in the same run."""
