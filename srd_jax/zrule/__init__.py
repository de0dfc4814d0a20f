"""Sharing ratios of single neurons: every channel of every position a PFV of its own, which is the z-rule."""
