"""What can be seen from outside while everything runs: the words for events."""
