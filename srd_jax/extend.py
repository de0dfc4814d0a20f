"""What authors of sharing rules may import; CONTRIBUTING.md walks through one.

Promised: the names below, and of an `Interpreter` the methods ``close``, ``name``, ``hold`` and ``unsupported``. After
every rule the interpreter checks that the number of its results, their shapes and their layouts are what the
primitive's own are. Everything else in `srd_jax.core` may change.
"""

from srd_jax.core import layout
from srd_jax.core.geometry import Copy, Flip, Pad, ReducePositions, Regrid, Slice, Step, Window
from srd_jax.core.interpreter import Interpreter
from srd_jax.core.layout import LayoutError
from srd_jax.core.primitives import Action, Facts, Limits, Pattern
from srd_jax.core.registry import Rule, facts_of, register_rule, rule_for
from srd_jax.core.rules.positionwise import positionwise
from srd_jax.core.tracing import Equation, bind
from srd_jax.core.values import Map, Mix, Sum, Term, Value, extend, joined, mixed, open_sum, restructure, select

__all__ = [
    "Action",
    "Copy",
    "Equation",
    "Facts",
    "Flip",
    "Interpreter",
    "LayoutError",
    "Limits",
    "Map",
    "Mix",
    "Pad",
    "Pattern",
    "ReducePositions",
    "Regrid",
    "Rule",
    "Slice",
    "Step",
    "Sum",
    "Term",
    "Value",
    "Window",
    "bind",
    "extend",
    "facts_of",
    "joined",
    "layout",
    "mixed",
    "open_sum",
    "positionwise",
    "register_rule",
    "restructure",
    "rule_for",
    "select",
]
