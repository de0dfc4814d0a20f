"""Draw the pictures of the README with the bundled model: ``python docs/pictures.py``."""

from pathlib import Path

import jax
import numpy as np

import srd_jax as srd
from srd_jax import models
from srd_jax.attribution import find_method, with_options
from srd_jax.drawing.charts import draw_contact_sheet
from srd_jax.drawing.pictures import draw_explanation, draw_methods, write_png
from srd_jax.files import replacing

HERE = Path(__file__).parent
LAYERS = ("act1", "blocks.1.1", "blocks.2.1", "blocks.4.2", "act2")
EYE = (84, 74)  # row and column in the model's 224 x 224 pixels
METHODS = (
    "srd", "saliency", "integrated_gradients", "guided_backprop", "gradcam", "occlusion", "lrp_epsilon_plus",
    "lrp_epsilon_gamma_box", "srd*gradcam", "fullgrad", "edge",
)  # fmt: skip
NET = models.load("efficientnet_lite0")


def seen(name):
    """What the model sees of a sample photo."""
    return NET.preprocess.crop(models.sample_photo(name))


def network_input(pixels):
    """What the model sees as a batch of one."""
    return NET.preprocess.normalise(pixels)[None]


def save(figure, name):
    """Write one picture beside this file."""
    with replacing(HERE / f"{name}.png") as file:
        write_png(figure, file)


def main():
    """Draw a cup of coffee explained, two classes in one image, receptive fields across depth, and methods compared."""
    explain = jax.jit(srd.explain(NET.apply))
    cup, cat = seen("coffee"), seen("chelsea")
    logits = jax.jit(NET.apply)(NET.variables, network_input(cup))
    top = int(logits[0].argmax())
    heat = np.asarray(explain(NET.variables, network_input(cup), np.array([[top]]))[0, 0])
    probability = float(jax.nn.softmax(logits[0])[top])
    details = (f"class {top}  ·  logit {logits[0, top]:.2f}  ·  probability {probability:.1%}", NET.name)
    save(draw_explanation(cup, heat, title=NET.labels[top], details=details), "explanation")

    half = NET.size // 2
    middle = slice(half // 2, half // 2 + half)
    both = np.concatenate([cat[:, middle], cup[:, middle]], 1)
    names = ["Egyptian cat", "espresso"]
    targets = np.array([[models.resolve_target(name, NET.labels) for name in names]])
    pair = np.asarray(explain(NET.variables, network_input(both), targets)[0])
    sheet = draw_contact_sheet(
        [both], {name: [each] for name, each in zip(names, pair, strict=True)}, captions=["cat and espresso"],
        title="Two classes in one image",
    )  # fmt: skip
    save(sheet, "classes")

    _, flow = jax.jit(srd.decompose(NET.apply))(NET.variables, network_input(cat))
    grids = {layer.name: layer.grid for layer in flow.layers}
    fields = {}
    for name in LAYERS:
        position = [[pixel * extent // NET.size for pixel, extent in zip(EYE, grids[name], strict=True)]]
        fields[name] = [np.asarray(flow.erf(name, position)[0, 0])]
    title = "Effective receptive fields at the left eye, across depth"
    ends = ("opposing", "composing")
    save(draw_contact_sheet([cat], fields, captions=["cat"], title=title, ends=ends), "fields")

    maps = {
        name: np.asarray(
            jax.jit(with_options(find_method(name), {"reduce": "sum"})(NET.apply))(
                NET.variables, network_input(cup), top
            )
        )[0]
        for name in METHODS
    }
    details = (*details, "every map in its own scale, red for the class, blue against it")
    save(draw_methods(cup, maps, title=NET.labels[top], details=details), "methods")


if __name__ == "__main__":
    main()
