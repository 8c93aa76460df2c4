"""What is to be seen: shipper, dashboards, metrics, lineage, explanations."""
