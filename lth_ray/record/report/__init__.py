"""A study's report: tables, comparisons, verdicts, and the pages that show them."""
