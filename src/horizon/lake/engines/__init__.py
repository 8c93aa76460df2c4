"""What runs a definition over lake and hot tail: DuckDB on one machine, Spark on many."""
