"""Images changed so little that hardly anybody sees it, whose maps become what someone chose: attacks on explanations.

The pixels are optimised until the map is near a target map, while the logits stay. ReLUs have no second derivative, so
what is made of gradients is attacked through softplus in their place, which grows sharper with every step; what has
derivatives as it is, through the model itself as well, and each image keeps what worked better. That is judged as a
user would see it: a picture of whole levels, and its map by the method itself, of the model itself.

Source: Dombrowski et al., Explanations can be manipulated and geometry is to blame, NeurIPS 2019, arXiv 1906.07983.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, UInt8

from srd_jax.attribution import ABOUT, Method, find_method, with_options
from srd_jax.batch import check_logits
from srd_jax.core.rewriting import relus
from srd_jax.core.softened import Softened
from srd_jax.core.tracing import trace
from srd_jax.errors import MethodError

if TYPE_CHECKING:
    from srd_jax.models import Network

__all__ = ["Attack", "Attacker", "Changed", "Problem", "attacker", "shares"]

_WHITE = 255
_TOLD = 10  # steps between two reports
_TINY = 1e-30


@dataclass(frozen=True)
class Attack:
    """How images are changed; pixels are in levels, 0 to 255.

    Attributes:
        steps: of Adam.
        rate: its learning rate. The authors' 1e-3 of pixels divided by ImageNet's standard deviations is 0.057 levels.
        bound: the largest change of a pixel's channel, None for any. The authors have none; with the same one, methods
            can be compared.
        sharpness: of the softplus at the first step and at the last; it grows geometrically.
        map_weight: of the mean squared difference between maps as `shares`.
        logits_weight: of the mean squared difference between logits.
    """

    steps: int = 1500
    rate: float = 0.05
    bound: int | None = 8
    sharpness: tuple[float, float] = (10.0, 100.0)
    map_weight: float = 1e11
    logits_weight: float = 1e6


class Problem(NamedTuple):
    """What is asked for a batch of images.

    Attributes:
        images: (N, H, W, 3) in levels.
        classes: (N,) that are explained.
        maps: (N, H, W) of these.
        logits: (N, classes), to be kept.
        goals: (N, H, W) what the maps should become.
    """

    images: Float[Array, "n h w 3"]
    classes: Int[Array, " n"]
    maps: Float[Array, "n h w"]
    logits: Float[Array, "n classes"]
    goals: Float[Array, "n h w"]


@dataclass(frozen=True, eq=False)
class Changed:
    """Images after an attack.

    Attributes:
        images: (N, H, W, 3) whole levels.
        maps: (N, H, W) of these by the method itself, of the model itself.
        logits: (N, classes) of the model itself.
        softened: (N,) which of them were found through softplus.
    """

    images: UInt8[np.ndarray, "n h w 3"]
    maps: Float[np.ndarray, "n h w"]
    logits: Float[np.ndarray, "n classes"]
    softened: Bool[np.ndarray, " n"]


class _State(NamedTuple):
    """Where the optimisation is: levels that are not whole, what Adam keeps, and each image's steepest derivative."""

    images: Array
    adam: Any
    slope: Array


def shares(maps: Float[Array, "n h w"]) -> Float[Array, "n h w"]:
    """The share that every position has of a map's sum of magnitudes."""
    sizes = jnp.abs(maps)
    return sizes / (sizes.sum((1, 2), keepdims=True) + _TINY)


def attacker(
    net: "Network", name: str, *, options: Mapping[str, Any] = MappingProxyType({}), attack: Attack | None = None
) -> "Attacker":
    """An attack on the maps of one method.

    Args:
        net: the model.
        name: of the method, as `srd_jax.attribution.find_method` takes it.
        options: of the method, as far as it has them.
        attack: how, None for the defaults.

    Raises:
        MethodError: there is no such method, or its maps explain no model.
    """
    method = with_options(find_method(name), options)
    if name in ABOUT and ABOUT[name].needs == "nothing":
        raise MethodError(f"{name} does not look at the model, so there is no explanation to attack: leave it out")
    return Attacker(net, name, method, Attack() if attack is None else attack)


@dataclass(frozen=True, eq=False)
class Attacker:
    """An attack on the maps of one method, compiled once for all batches of one size.

    Attributes:
        net: the model.
        name: of the method.
        method: with its options.
        attack: how.
    """

    net: "Network"
    name: str
    method: Method
    attack: Attack

    def explain(
        self, images: UInt8[np.ndarray, "n h w 3"], classes: Int[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, "n h w"], Float[np.ndarray, "n classes"]]:
        """The maps of images in levels, and the logits, of the model itself.

        Raises:
            MethodError: the method gives more than one number a pixel.
            WeightsError: the logits are not finite.
        """
        found = self._explained(self.net.variables, jnp.asarray(images, jnp.float32), jnp.asarray(classes))
        maps, logits = map(np.asarray, found)
        check_logits(logits, self.net.name)
        if maps.ndim != 3:
            raise MethodError(
                f"{self.name} gives maps {maps.shape[1:]} with these options: one number a pixel is needed"
            )
        return maps, logits

    def problem(
        self,
        images: UInt8[np.ndarray, "n h w 3"],
        classes: Int[np.ndarray, " n"],
        goals: Float[np.ndarray, "n h w"],
    ) -> Problem:
        """What is asked for a batch: images in levels, the classes to explain, and what their maps should become."""
        maps, logits = self.explain(images, classes)
        return Problem(
            jnp.asarray(images, jnp.float32), jnp.asarray(classes), jnp.asarray(maps), jnp.asarray(logits),
            jnp.asarray(goals, maps.dtype),
        )  # fmt: skip

    def ways(self, problem: Problem) -> tuple[bool, ...]:
        """Whether ReLUs are softened, in every way in which the maps have derivatives that lead somewhere.

        Raises:
            MethodError: there is none.
        """
        images = self.net.preprocess.normalise(problem.images)
        program = trace(jax.make_jaxpr(self.net.apply, return_shape=True), self.net.variables, images)
        known = []
        for softened in (False, True) if relus(program) else (False,):
            first = self._steps[softened](
                self.net.variables, problem, self._start(problem), np.float32(self.attack.sharpness[0]), (1.0, 0.0)
            )
            slope = np.asarray(first.slope)
            if np.isfinite(slope).all() and np.any(slope):
                known.append(softened)
        if not known:
            raise MethodError(
                f"{self.name} cannot be attacked by gradients: the derivatives of its maps by the pixels are zero, or "
                "not finite, with softplus in place of ReLUs too; leave it out"
            )
        return tuple(known)

    def __call__(
        self, problem: Problem, ways: Sequence[bool], advance: Callable[[int], object] = lambda done: None
    ) -> Changed:
        """Attack a batch in several ways; each image keeps the one that worked best.

        Args:
            problem: what is asked.
            ways: from `ways`.
            advance: called with a number of steps after these.
        """
        found = [self._changed(problem, softened, advance) for softened in ways]
        weights = (self.attack.map_weight, self.attack.logits_weight)
        seen = [(jnp.asarray(each.maps), jnp.asarray(each.logits)) for each in found]
        losses = np.stack([_losses(problem, maps, logits, weights) for maps, logits in seen])
        best, rows = np.argmin(np.where(np.isfinite(losses), losses, np.inf), 0), np.arange(losses.shape[1])
        names = ("images", "maps", "logits", "softened")
        return Changed(**{name: np.stack([getattr(each, name) for each in found])[best, rows] for name in names})

    def _changed(self, problem: Problem, softened: bool, advance: Callable[[int], object]) -> Changed:
        state, weights = self._start(problem), (self.attack.map_weight, self.attack.logits_weight)
        sharpness = np.geomspace(*self.attack.sharpness, self.attack.steps).astype(np.float32)
        for first in range(0, self.attack.steps, _TOLD):
            few = sharpness[first : first + _TOLD]
            for each in few:  # no loop of XLA's: in its body, gradients of convolutions are five times as slow on CPUs
                state = self._steps[softened](self.net.variables, problem, state, each, weights)
            jax.block_until_ready(state)
            advance(len(few))
        images = np.rint(np.asarray(state.images)).astype(np.uint8)
        maps, logits = self.explain(images, np.asarray(problem.classes))
        return Changed(images, maps, logits, np.full(len(images), softened))

    def _start(self, problem: Problem) -> _State:
        return _State(problem.images, self._optimiser.init(problem.images), jnp.zeros(len(problem.images)))

    @cached_property
    def _optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.attack.rate)

    @cached_property
    def _explained(self) -> Callable[..., tuple[Array, Array]]:
        explain = self.method(self.net.apply)

        def explained(variables: Any, images: Array, classes: Array) -> tuple[Array, Array]:
            x = self.net.preprocess.normalise(images)
            return explain(variables, x, classes), self.net.apply(variables, x)

        return jax.jit(explained)

    @cached_property
    def _steps(self) -> Mapping[bool, Callable[..., _State]]:
        return {softened: jax.jit(self._step(softened)) for softened in (False, True)}

    def _step(self, softened: bool) -> Callable[..., _State]:
        """``(variables, problem, state, sharpness, weights) -> state`` after one step."""
        explain = self.method(Softened(self.net.apply) if softened else self.net.apply)
        bound = _WHITE if self.attack.bound is None else self.attack.bound

        def loss(images: Array, variables: Any, problem: Problem, sharpness: Array, weights: _Weights) -> Array:
            x = self.net.preprocess.normalise(images)
            maps = explain((variables, sharpness) if softened else variables, x, problem.classes)
            return _losses(problem, maps, self.net.apply(variables, x), weights).sum()

        def step(variables: Any, problem: Problem, state: _State, sharpness: Array, weights: _Weights) -> _State:
            gradient = jax.grad(loss)(state.images, variables, problem, sharpness, weights)
            updates, adam = self._optimiser.update(jnp.where(jnp.isfinite(gradient), gradient, 0), state.adam)
            images = optax.projections.projection_box(
                optax.apply_updates(state.images, updates),
                jnp.maximum(problem.images - bound, 0),
                jnp.minimum(problem.images + bound, _WHITE),
            )
            return _State(images, adam, jnp.max(jnp.abs(gradient), (1, 2, 3)))

        return step


_Weights = tuple[float, float]


def _losses(problem: Problem, maps: Array, logits: Array, weights: _Weights) -> Float[Array, " n"]:
    """What is made small for each image."""
    of_map = jnp.mean((shares(maps) - shares(problem.goals)) ** 2, (1, 2))
    of_logits = jnp.mean((logits - problem.logits) ** 2, -1)
    return weights[0] * of_map + weights[1] * of_logits
