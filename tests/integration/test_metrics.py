"""/metrics, /healthz and /readyz, from real tables and real processes."""

from __future__ import annotations
