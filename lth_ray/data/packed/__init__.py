"""Image sets packed in shards: made once, then mapped and read at random."""
