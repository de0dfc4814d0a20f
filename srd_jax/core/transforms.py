"""The transformation: a function from images to logits becomes one that returns the flow of relevance through it."""

import warnings
from collections.abc import Callable
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from srd_jax.core.build_flow import build_flow
from srd_jax.core.compiled import Decomposed, Model, Options, compiled, compiled_map, interpreted
from srd_jax.core.flow import Flow
from srd_jax.core.head import Contrast, HeadRule
from srd_jax.core.sharing import Bias, Relevance
from srd_jax.core.squash import Squash
from srd_jax.core.targets import Aimed, check_targets
from srd_jax.errors import ImageError, LogitsError, SaturationWarning, ShapeError

__all__ = ["check_images", "check_logits", "check_options", "checked", "decompose", "decomposed", "mapped"]


def decompose(
    f: Model,
    *,
    bias: Bias = "norm",
    head: HeadRule = "linear",
    relevance: Relevance = "pre",
    channel_axis: int = -1,
) -> Callable[[Any, Array], tuple[Float[Array, "n classes"], Flow]]:
    """Make a function that runs ``f`` and returns its logits with the flow of relevance through it.

    Like `jax.grad` it returns a function, which composes with `jax.jit`, `jax.vmap` and `jax.grad`. The images of a
    batch are independent: each is explained as if it were alone.

    Args:
        f: ``f(variables, images) -> logits``, in evaluation mode: pure, and without any exchange between images. What
            it closes over is read when it is traced, once for every shape, as `jax.jit` does.
        bias: how constants are shared among contributions: ``"norm"`` (the authors') in proportion to their norms,
            ``"uniform"`` evenly, ``"none"`` not at all; then the biases keep their part (`Flow.kept_by_biases`).
        head: how the logit becomes relevance at the encoder's output: ``"linear"`` by the gradient through the head
            (the authors' formula for average pooling and a dense layer), ``"gradcam"`` the Grad-CAM map there (the
            authors' choice for VGG), ``"sharing"`` by sharing ratios all the way from the logit.
        relevance: what contributions are measured against: ``"pre"`` (the authors') the value X_j before the
            activation, so that inactive neurons count, ``"post"`` the value Y_j = act(X_j) after it, so that they are
            lost: mu_{i->j} = < vhat_{i->j} + s b , Y_j > / < X_j , Y_j >. The ratios still sum to 1, with an even split
            where < X_j , Y_j > is 0, as it is where no neuron is active. A map without an activation of its own (a
            residual sum that is read as it is) has Y_j = X_j.
        channel_axis: axis of ``images`` that holds the channels; axis 0 is the batch, all others are positions.

    Returns:
        ``decomposed(variables, images) -> (logits, flow)``.

    Raises:
        ValueError: an unknown option.
        ShapeError: raised by the returned function: images of the wrong rank or a symbolic number of them, or logits
            that are not (N, classes).
        ImageError: raised by the returned function: pixels that are not finite, where values are known.
        LogitsError: raised by the returned function: logits that are not finite, where values are known.
        UnsupportedPrimitiveError: raised by the returned function: a step of ``f`` that has no sharing rule.

    Source: Han, Kim, Kwak, ICLR 2024, arXiv 2402.03348.
    """
    options = check_options(bias, head, relevance, channel_axis)
    run = compiled(decomposed, f, options)

    def decomposing(variables: Any, images: Array) -> tuple[Float[Array, "n classes"], Flow]:
        images = check_images(images, channel_axis)
        if not isinstance(images.shape[0], int):
            raise ShapeError("a flow is of a known number of images; with a symbolic one use srd_jax.explain")
        logits, flow = run(variables, images)
        check_logits(logits, flow.head.squash)
        return logits, flow

    return decomposing


def decomposed(
    tracer: Callable[..., Any], options: Options, variables: Any, images: Array
) -> tuple[Float[Array, "n classes"], Flow]:
    """The logits and the flow of a traced function; ``tracer`` is ``jax.make_jaxpr(f, return_shape=True)``."""
    interpretation = interpreted(tracer, options, variables, images)
    return interpretation.logits.array, build_flow(interpretation)


def mapped(
    decomposed: Decomposed, f: Model, options: Options, contrast: Contrast | None
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a function that returns maps at the pixels from what ``decomposed`` returns: one compiled program.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.

    Raises:
        ValueError: an unknown contrast.
    """
    one_of("contrast", contrast, (*get_args(Contrast), None))
    return checked(lambda f: compiled_map(decomposed, f, options, contrast), f, options.channel_axis)


def checked(
    compiled: Callable[[Model], Callable[..., Any]], f: Model, channel_axis: int
) -> Callable[..., Float[Array, "n ..."]]:
    """Make a method's function of what it compiles: images, targets and logits are checked where they are known.

    Args:
        compiled: a model to ``(variables, images, targets) -> (maps, logits, squash)``; targets are a pytree, None
            among them.
        f: the model.
        channel_axis: axis of the images that holds the channels.

    Returns:
        ``explained(variables, images, targets=None) -> maps``, as `srd_jax.explain`.
    """
    of_classes = compiled(f)

    def explained(variables: Any, images: Array, targets: Any = None) -> Float[Array, "n ..."]:
        images, run, model = check_images(images, channel_axis), of_classes, f
        if callable(targets):
            model = aimed = Aimed(f, targets)
            run, targets = compiled(aimed), aimed.places(variables, images)
        if targets is not None:
            logits = jax.eval_shape(model, variables, images)  # which takes a tenth of the time that the map takes
            shape = getattr(logits, "shape", ())
            targets = check_targets(
                targets, shape if len(shape) == 2 else jax.eval_shape(run, variables, images)[1].shape
            )
        heat, logits, squash = run(variables, images, targets)
        check_logits(logits, squash)
        return heat

    return explained


def check_options(bias: Bias, head: HeadRule, relevance: Relevance, channel_axis: int) -> Options:
    """The options of `decompose`.

    Raises:
        ValueError: an unknown one.
    """
    one_of("bias", bias, get_args(Bias))
    one_of("head", head, get_args(HeadRule))
    one_of("relevance", relevance, get_args(Relevance))
    return Options(bias, head, relevance, channel_axis)


def check_images(images: Any, channel_axis: int) -> Array:
    """Images as an array of floats, checked as far as they are known while tracing.

    Raises:
        ShapeError: fewer than three axes, an empty axis, or integers.
        ImageError: NaN or infinite pixels.
    """
    images = jnp.asarray(images)
    if images.ndim < 3 or 0 in images.shape or channel_axis % images.ndim == 0:
        raise ShapeError(
            f"images must be (N, *grid, C) with N first and channels on axis {channel_axis}; got shape {images.shape}"
            + (". A single image needs a batch axis: images[None]" if images.ndim == 3 - 1 else "")
        )
    if not all(isinstance(size, int) for size in images.shape[1:]):
        raise ShapeError(f"only the number of images may be symbolic, not their extents; got shape {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ShapeError(f"images must be floating point, as the model's preprocessing makes them; got {images.dtype}")
    if not isinstance(images, jax.core.Tracer) and not np.isfinite(np.asarray(images, np.float32)).all():
        raise ImageError("images hold NaN or infinite pixels; no explanation of them would mean anything")
    return images


def check_logits(logits: Array, squash: Squash) -> None:
    """Refuse logits that are not finite, and warn of probabilities that are all but 0 or 1, where values are known.

    Raises:
        LogitsError: NaN or infinite logits.
    """
    traced = isinstance(logits, jax.core.Tracer)
    known = np.zeros(1) if traced else np.asarray(logits, np.float64)
    if not np.isfinite(known).all():
        first = int(np.flatnonzero(~np.isfinite(known).all(-1))[0])
        raise LogitsError(f"the logits of image {first} are NaN or infinite: look at the model's weights and its input")
    if squash.step and (traced or squash.is_saturated(known)):
        warnings.warn(squash.advice, SaturationWarning, stacklevel=3)


def one_of(option: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Refuse what is none of an option's values.

    Raises:
        ValueError: it is not.
    """
    if value not in allowed:
        raise ValueError(f"{option} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
