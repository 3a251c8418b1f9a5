"""What the papers report, and ours beside theirs."""
