"""The lake: all events in one Iceberg table, which any warehouse can read."""
