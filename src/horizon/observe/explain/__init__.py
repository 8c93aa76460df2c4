"""Why somebody was written to, or was not: the chain from the events to the provider's answer."""
