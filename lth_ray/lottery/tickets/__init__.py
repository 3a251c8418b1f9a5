"""Tickets that travel: loaded, exported to other formats, imported from them."""
