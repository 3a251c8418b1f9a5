"""Folders of Hugging Face's form, on disk: configuration, weights, tokenizer. Nothing is fetched from a network."""
