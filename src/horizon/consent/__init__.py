"""Who agreed to what: purposes, records of consent, suppressions, and bringing them in."""
