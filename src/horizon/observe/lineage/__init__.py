"""Which column comes from which, read from the SQL itself, and told to others as OpenLineage."""
