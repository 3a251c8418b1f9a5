"""The papers' reports, and ours beside theirs."""
