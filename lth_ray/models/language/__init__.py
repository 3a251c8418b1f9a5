"""Language models: networks that read tokens and foretell the next one."""
