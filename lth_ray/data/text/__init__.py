"""Text: its lines, vocabularies made from them, and streams of tokens."""
