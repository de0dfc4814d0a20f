"""Print how far the library is from the golden arrays: relative L2 per array, in two precisions on this machine."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import srd_jax as srd
from srd_jax import models
from tests.golden import recipe

HERE = Path(__file__).parent
TARGET = 281


def differences(name: str, dtype: str = "float32") -> dict[str, float]:
    """Relative L2 difference of every golden array of one architecture, whose model computes in ``dtype``."""
    shapes = json.loads((HERE / "shapes.json").read_text())[name]
    net = models.load(name, weights=recipe.state_dict({k: tuple(v) for k, v in shapes.items()}, 0), dtype=dtype)
    golden = np.load(HERE / f"{name}.npz")
    images = jnp.asarray(recipe.image("chelsea", 224))
    logits, flow = jax.jit(srd.decompose(net.apply))(net.variables, images)
    found: dict[str, np.ndarray] = {}
    if "logits" in golden:
        relevance = flow.relevance(TARGET, contrast=None)
        contrastive = flow.relevance(TARGET, contrast="spatial")
        found["logits"] = logits[0]
        found["encoder_relevance_class281"] = relevance["layer4.2.relu3"][0]
        found["heatmap_class281"] = relevance["input"][0]
        found["heatmap_contrastive_class281"] = contrastive["input"][0]
        found |= {f"relevance/{layer}": m[0] for layer, m in relevance.items()}
    for key in golden:
        if key.startswith("erf/"):
            layer, place = key.removeprefix("erf/").split("@")
            found[key] = flow.erf(layer, [[int(i) for i in place.split(",")]])[0, 0]
    return {
        key: float(np.linalg.norm(np.asarray(found[key], np.float32) - golden[key]) / np.linalg.norm(golden[key]))
        for key in golden
        if key in found
    }


if __name__ == "__main__":
    for architecture in ("resnet50", "vgg16"):
        exact, rounded = differences(architecture), differences(architecture, "bfloat16")
        for array, difference in exact.items():
            print(f"{architecture:10s} {array:34s} float32 {difference:.1e}  bfloat16 {rounded[array]:.1e}")
