"""Networks of language: those that foretell the next token, those that translate, and the search for what they say."""
