"""Explanations beside the forward pass, by pytest-benchmark; no part of the tests.

    pytest tests/benchmarks/bench_explanations.py --benchmark-group-by=param:model

One process, two CPU cores or whatever JAX finds. `srd bench` takes the same in turns, with memory.
"""

import jax
import pytest

from srd_jax import models
from srd_jax.evaluation.speed import subjects

MODELS = {"tiny_resnet": (64, 8), "resnet50": (224, 8), "vgg16": (224, 8)}
SUBJECTS = ("forward pass", "jax.grad", "one map", "10 classes", "ERFs of the encoder", "ERFs of a finer layer")


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    size, batch = MODELS[request.param]
    net = models.load(request.param, "untrained")
    images = jax.random.normal(jax.random.key(0), (batch, size, size, 3))
    return net, images


@pytest.mark.parametrize("subject", range(len(SUBJECTS)), ids=SUBJECTS)
@pytest.mark.parametrize("bias", ["norm", "uniform"])
def test_cost(benchmark, model, bias, subject):
    net, images = model
    if bias == "uniform" and subject < SUBJECTS.index("one map"):
        pytest.skip("nothing in it depends on the bias")
    compared = subjects(net.apply, net.variables, jax.ShapeDtypeStruct(images.shape, images.dtype), bias=bias)
    compiled = jax.jit(list(compared.values())[subject]).lower(net.variables, images).compile()
    benchmark.extra_info["temporary_bytes"] = compiled.memory_analysis().temp_size_in_bytes
    benchmark.pedantic(
        lambda: jax.block_until_ready(compiled(net.variables, images)), rounds=5, warmup_rounds=1, iterations=1
    )
