"""What the slowest requests and calls of a run waited for, when, and behind whom."""
