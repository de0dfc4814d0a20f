"""Print what maps cost here and in captum and pytorch-grad-cam: ``python -m tests.benchmarks.others``.

Needs torch, torchvision, captum and grad-cam beside this package, which depends on none of them. Both sides explain
the same images by the same ResNet-18 with random weights, on as many threads as there are cores; the table has the
median of some rounds taken in turns, what it is in forward passes of the same side, and how far the maps are apart.
"""

import time
from collections.abc import Callable
from typing import Any

import captum.attr
import jax
import numpy as np
import pytorch_grad_cam as cams
import torch
import torchvision
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from srd_jax import models
from srd_jax.attribution import METHODS

ROUNDS, IMAGES, SIDE, TARGET, STEPS, PATCH = 3, 4, 224, 7, 20, 56


def pairs(net: Any, images: np.ndarray) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """By name, the same map made here and there, (N, H, W, C) or (N, H, W)."""
    own = models.load("resnet18", weights={k: v.numpy() for k, v in net.state_dict().items()})
    there = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))

    def here(name: str, **options: Any) -> Callable[[], Any]:
        run = jax.jit(METHODS[name](own.apply, **options))
        return lambda: jax.block_until_ready(run(own.variables, images, TARGET))

    def pixels(method: Any, **options: Any) -> Callable[[], Any]:
        return lambda: method.attribute(there.clone(), target=TARGET, **options).detach().numpy().transpose(0, 2, 3, 1)

    def encoder(method: Any) -> Callable[[], Any]:
        return lambda: method(there, [ClassifierOutputTarget(TARGET)] * IMAGES)

    def forward() -> Any:
        with torch.no_grad():
            return net(there).numpy()

    predict = jax.jit(own.apply)
    layer, each = [net.layer4[-1]], {"internal_batch_size": IMAGES}
    sliding = {"sliding_window_shapes": (3, PATCH, PATCH), "strides": (3, PATCH, PATCH), "baselines": 0}
    return {
        "forward pass": (lambda: jax.block_until_ready(predict(own.variables, images)), forward),
        "saliency": (here("saliency", reduce=None), pixels(captum.attr.Saliency(net))),
        "guided_backprop": (here("guided_backprop", reduce=None), pixels(captum.attr.GuidedBackprop(net))),
        f"integrated_gradients, {STEPS} steps": (
            here("integrated_gradients", steps=STEPS, reduce=None),
            pixels(captum.attr.IntegratedGradients(net), n_steps=STEPS, **each),
        ),
        f"occlusion, {PATCH} pixels": (here("occlusion", patch=PATCH), pixels(captum.attr.Occlusion(net), **sliding)),
        "gradcam": (here("gradcam"), encoder(cams.GradCAM(net, layer))),
        "scorecam": (here("scorecam"), encoder(cams.ScoreCAM(net, layer))),
        "ablationcam": (here("ablationcam"), encoder(cams.AblationCAM(net, layer))),
    }


def distance(here: np.ndarray, there: np.ndarray) -> float:
    """Relative L2, of maps between 0 and 1 where the other side stretches them."""
    if here.ndim == 3 and there.ndim == 4:
        there = there[..., 0]
    if here.shape == there.shape and here.ndim == 3:
        here, there = (m - m.min((1, 2), keepdims=True) for m in (here, there))
        here, there = (m / m.max((1, 2), keepdims=True) for m in (here, there))
    return float(np.linalg.norm(here - there) / np.linalg.norm(there))


def main() -> None:
    """Time both sides in turns."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18(weights=None).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    images = np.random.default_rng(0).standard_normal((IMAGES, SIDE, SIDE, 3)).astype(np.float32)
    base: tuple[float, float] | None = None
    for name, sides in pairs(net, images).items():
        maps = [np.asarray(side()) for side in sides]
        taken: list[list[float]] = [[], []]
        for _ in range(ROUNDS):
            for side, times in zip(sides, taken, strict=True):
                start = time.perf_counter()
                side()
                times.append(time.perf_counter() - start)
        here, there = (float(np.median(times)) for times in taken)
        base = base or (here, there)
        print(
            f"{name:34s} here {here:7.2f} s = {here / base[0]:6.1f} forward passes, there {there:7.2f} s = "
            f"{there / base[1]:6.1f}; maps {distance(*maps):.1e} apart",
            flush=True,
        )


if __name__ == "__main__":
    main()
