"""The method: a traced function, its PFV maps, sharing ratios between them, and what flows along these.

Read `transforms`, `tracing`, `interpreter`, `sharing`, `build_flow`, `flow` in this order. Nothing here knows a neural-
network library, a photo or a command.
"""
