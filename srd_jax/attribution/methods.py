"""The table of attribution methods, and what one is."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from jaxtyping import Array, Float

from srd_jax.attribution import controls
from srd_jax.attribution.ablationcam import ablationcam
from srd_jax.attribution.combining import product
from srd_jax.attribution.deconvolution import deconvolution
from srd_jax.attribution.fullgrad import fullgrad
from srd_jax.attribution.gradcam import gradcam
from srd_jax.attribution.gradcam_plus_plus import gradcam_plus_plus
from srd_jax.attribution.guided_backprop import guided_backprop
from srd_jax.attribution.hirescam import hirescam
from srd_jax.attribution.input_x_gradient import input_x_gradient
from srd_jax.attribution.integrated_gradients import integrated_gradients
from srd_jax.attribution.layercam import layercam
from srd_jax.attribution.lrp_epsilon_alpha2_beta1 import lrp_epsilon_alpha2_beta1
from srd_jax.attribution.lrp_epsilon_gamma_box import lrp_epsilon_gamma_box
from srd_jax.attribution.lrp_epsilon_plus import lrp_epsilon_plus
from srd_jax.attribution.lrp_zplus import lrp_zplus
from srd_jax.attribution.occlusion import occlusion
from srd_jax.attribution.rise import rise
from srd_jax.attribution.saliency import saliency
from srd_jax.attribution.scorecam import scorecam
from srd_jax.attribution.smoothgrad import smoothgrad
from srd_jax.attribution.srd import explain
from srd_jax.attribution.srd_encoder import srd_encoder
from srd_jax.attribution.srd_scalar import srd_scalar
from srd_jax.attribution.xgradcam import xgradcam
from srd_jax.errors import MethodError
from srd_jax.messages import did_you_mean

__all__ = [
    "ABOUT",
    "METHODS",
    "About",
    "Explain",
    "Method",
    "find_method",
    "keywords_of",
    "option_value",
    "with_options",
]

Explain = Callable[..., Float[Array, "n ..."]]
"""``(variables, images, targets=None) -> maps``."""

Method = Callable[..., Explain]
"""``(f, **options) -> explain``: every option is a keyword with a default."""

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "srd": explain,
        "srd_scalar": srd_scalar,
        "srd_encoder": srd_encoder,
        "saliency": saliency,
        "input_x_gradient": input_x_gradient,
        "integrated_gradients": integrated_gradients,
        "smoothgrad": smoothgrad,
        "fullgrad": fullgrad,
        "guided_backprop": guided_backprop,
        "deconvolution": deconvolution,
        "gradcam": gradcam,
        "gradcam_plus_plus": gradcam_plus_plus,
        "xgradcam": xgradcam,
        "layercam": layercam,
        "hirescam": hirescam,
        "scorecam": scorecam,
        "ablationcam": ablationcam,
        "lrp_zplus": lrp_zplus,
        "lrp_epsilon_plus": lrp_epsilon_plus,
        "lrp_epsilon_alpha2_beta1": lrp_epsilon_alpha2_beta1,
        "lrp_epsilon_gamma_box": lrp_epsilon_gamma_box,
        "occlusion": occlusion,
        "rise": rise,
        "random": controls.random,
        "centre": controls.centre,
        "edge": controls.edge,
        "lattice": controls.lattice,
    }
)
"""Every method by name."""


@dataclass(frozen=True)
class About:
    """What a method asks of a model, and what it costs.

    Attributes:
        needs: of the model.
        cost: in words, of one map.
    """

    needs: str
    cost: str


_TRACED, _RULES, _MAP = "any JAX function", "rules for its steps", "a PFV map with positions"

ABOUT: Mapping[str, About] = MappingProxyType(
    {
        "srd": About(_RULES, "about a gradient; more maps cost next to nothing"),
        "srd_scalar": About(_RULES, "several gradients"),
        "srd_encoder": About(_RULES, "a forward pass"),
        "saliency": About(_TRACED, "a gradient"),
        "input_x_gradient": About(_TRACED, "a gradient"),
        "integrated_gradients": About(_TRACED, "a gradient a step (50)"),
        "smoothgrad": About(_TRACED, "a gradient a sample (25)"),
        "fullgrad": About(_RULES, "a gradient that keeps every layer's"),
        "guided_backprop": About("ReLUs", "a gradient"),
        "deconvolution": About("ReLUs", "a gradient"),
        "gradcam": About(_MAP, "a forward pass"),
        "gradcam_plus_plus": About(_MAP, "a forward pass"),
        "xgradcam": About(_MAP, "a forward pass"),
        "layercam": About(_MAP, "a forward pass"),
        "hirescam": About(_MAP, "a forward pass"),
        "scorecam": About(_MAP, "a forward pass a channel"),
        "ablationcam": About(_MAP, "the rest of the network a channel"),
        "lrp_zplus": About(_RULES, "some gradients"),
        "lrp_epsilon_plus": About(_RULES, "some gradients"),
        "lrp_epsilon_alpha2_beta1": About(_RULES, "some gradients"),
        "lrp_epsilon_gamma_box": About(_RULES, "some gradients"),
        "occlusion": About(_TRACED, "a forward pass a patch"),
        "rise": About(_TRACED, "a forward pass a mask (1,000)"),
        "random": About("nothing", "nothing"),
        "centre": About("nothing", "nothing"),
        "edge": About("nothing", "nothing"),
        "lattice": About("nothing", "nothing"),
    }
)
"""What each of `METHODS` needs and costs."""


def find_method(name: str) -> Method:
    """A method by name, with options after a colon where they are settled: ``"srd:contrast=none,bias=uniform"``.

    ``"a*b"`` is the product of two, as ``"guided_backprop*gradcam"`` is guided Grad-CAM.

    Raises:
        MethodError: there is none, it has no such option, or the option takes no such value.
    """
    parts = [_single(part.strip()) for part in name.split("*")]
    if len(parts) == 1:
        return parts[0]
    made = product([partial(_having, part) for part in parts])
    options = {p.name: p for part in parts for p in inspect.signature(part).parameters.values()}
    made.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
    return made


def option_value(text: str, default: Any) -> Any:
    """An option's value from a text, of the type that its default has; ``"none"`` is None.

    Raises:
        ValueError: it is no such value; the message says what the option takes.
    """
    if text == "none":
        return None
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise ValueError("is true or false")
        return text == "true"
    if isinstance(default, str):
        return text
    if default is None:
        return int(text) if text.lstrip("-").isdigit() else text
    try:
        return type(default)(text)
    except ValueError as error:
        raise ValueError(f"takes {_KINDS.get(type(default), 'another value')}") from error


_KINDS: Mapping[type, str] = MappingProxyType({int: "a whole number", float: "a number"})


def _single(text: str) -> Method:
    """One method, its settled options no longer among those that it has."""
    name, colon, rest = text.partition(":")
    if name not in METHODS:
        raise MethodError(f"no attribution method is called {name!r}; {did_you_mean(name, list(METHODS))}")
    method = METHODS[name]
    if not colon:
        return method
    parameters = inspect.signature(method).parameters
    settled = {}
    for setting in rest.split(","):
        option, sign, value = (part.strip() for part in setting.partition("="))
        if not sign or option not in keywords_of(method) or option == "channel_axis":
            own = ", ".join(key for key in keywords_of(method) if key != "channel_axis")
            raise MethodError(f"{text}: {name} has the options {own or 'none'}, each as option=value after the colon")
        try:
            settled[option] = option_value(value, parameters[option].default)
        except ValueError as error:
            raise MethodError(f"{text}: {option} {error}") from error

    def with_settled(f: Any, **options: Any) -> Explain:
        return method(f, **settled, **options)

    left = [p for p in parameters.values() if p.name not in settled]
    with_settled.__signature__ = inspect.Signature(left)  # type: ignore[attr-defined]
    return with_settled


def keywords_of(method: Method) -> tuple[str, ...]:
    """The options that a method has."""
    parameters = inspect.signature(method).parameters.values()
    return tuple(each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY)


def with_options(method: Method, options: Mapping[str, Any]) -> Method:
    """A method with those of some options that it has."""
    own = keywords_of(method)
    return partial(method, **{name: value for name, value in options.items() if name in own})


def _having(method: Method, f: Any, **options: Any) -> Explain:
    """A method with those of some options that it has, on a model."""
    return with_options(method, options)(f)
