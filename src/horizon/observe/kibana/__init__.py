"""The panels, and their saved objects for Kibana and OpenSearch Dashboards."""
