"""What the platform remembers: records, tags, metrics."""
