"""/metrics, /healthz and /readyz, on a port of their own and in a process of their own."""
