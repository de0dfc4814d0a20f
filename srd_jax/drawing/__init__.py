"""Pictures of maps and of measurements."""
