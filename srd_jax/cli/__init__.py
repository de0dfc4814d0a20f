"""The command line ``srd``: explain photos, look at effective receptive fields, and at what a model is made of.

`app` holds the commands together and turns errors into one line; each command is in a file of its own name or in
`tables`. JAX and matplotlib are imported by the commands that need them, when they run.
"""

from .app import app, main

__all__ = ["app", "main"]
