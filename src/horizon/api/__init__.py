"""The profile API: what is known of one person, for who has a token."""
