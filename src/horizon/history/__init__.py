"""The history: what messages, alerts, consents and the audit were, sealed in a chain of hashes."""
