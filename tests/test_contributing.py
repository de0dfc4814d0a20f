"""The rule that CONTRIBUTING.md walks through works as it stands there."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import srd_jax as srd
from srd_jax.core import registry

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_example_rule(monkeypatch):
    entries = {name: entry for name, entry in registry._entries.items() if name != "dynamic_slice"}
    monkeypatch.setattr(registry, "_entries", entries)
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    kernel, images = jax.random.normal(jax.random.key(0), (3, 3, 3, 4)), jnp.ones((2, 7, 6, 3))

    def convolve(x, kernel):
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def f(slice_):
        def model(kernel, images):
            x = slice_(jax.nn.relu(convolve(images, kernel)))
            return jax.nn.relu(convolve(x, kernel) + 0.1).mean((1, 2))

        return model

    dynamic = f(lambda x: lax.dynamic_slice(x, (0, 2, 1, 1), (2, 4, 5, 3)))
    with pytest.raises(srd.UnsupportedPrimitiveError, match="'dynamic_slice'"):
        srd.explain(dynamic)(kernel, images, 0)
    exec(compile(example, "CONTRIBUTING.md", "exec"), {})

    def everything(kernel, images):
        _, flow = srd.decompose(dynamic)(kernel, images)
        last = flow.layers[-1].name
        return flow.relevance(0, contrast=None)["input"], flow.erf(last), flow.erf(last, direction="forward")

    heat, backward, forward = jax.jit(everything)(kernel, images)
    static = srd.explain(f(lambda x: x[:, 2:6, 1:6, 1:]), contrast=None)
    expected = jax.jit(static)(kernel, images, 0)
    np.testing.assert_allclose(heat, expected, atol=1e-6)
    np.testing.assert_allclose(backward, forward, atol=1e-6)
    np.testing.assert_allclose(backward.sum((2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(heat.sum((1, 2)), dynamic(kernel, images)[:, 0], atol=1e-5)

    def unknown(kernel):
        start = jnp.argmax(kernel[0, 0, 0])
        return srd.explain(f(lambda x: lax.dynamic_slice(x, (0, start, 1, 1), (2, 4, 5, 3))))(kernel, images, 0)

    with pytest.raises(srd.UnsupportedPrimitiveError, match="not known while tracing"):
        jax.jit(unknown)(kernel)
