"""What every server of ours has: HTTP within limits, a held connection, keys it remembers."""
