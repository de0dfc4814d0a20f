"""Annotations are checked while the tests run, in the packages whose values are plain arrays."""

from jaxtyping import install_import_hook

CHECKED = ["srd_jax.metrics"]
install_import_hook(CHECKED, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")
