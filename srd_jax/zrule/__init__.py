"""Sharing ratios of single neurons: every channel of every position a PFV of its own, which is the z-rule.

`decompose` returns the flow through them. There are no ERFs, as a field is that of a vector.
"""

from srd_jax.zrule.flow import ScalarFlow, decompose

__all__ = ["ScalarFlow", "decompose"]
