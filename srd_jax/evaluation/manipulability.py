"""How far the maps of methods gave way to attacks: numbers, a table, a picture."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from skimage.metrics import structural_similarity

from srd_jax.drawing.charts import draw_before_and_after
from srd_jax.evaluation.manipulation import Attack
from srd_jax.evaluation.report import Report, Subject, untrained_notice
from srd_jax.metrics import bootstrap

if TYPE_CHECKING:
    from srd_jax.evaluation.manipulation_runs import Attacked

__all__ = ["likeness", "measured", "report"]

_LEGEND = (
    "Before, after: correlation with the target map; SSIM: with it, after; own, noise: correlation with the map before "
    "the attack, after it and after noise of its size; levels: root mean square of the change; logits: theirs, relative"
)
_SHOWN = 2  # photos of each method in the picture
_WINDOW = 7  # pixels, scikit-image's
_WHITE = 255


def likeness(
    maps: Float[np.ndarray, "n h w"], others: Float[np.ndarray, "n h w"]
) -> dict[str, Float[np.ndarray, " n"]]:
    """How alike the magnitudes of maps are: correlation (PCC), structural similarity (SSIM), mean squared error (MSE).

    The last two are of maps whose largest magnitude is 1. NaN where nothing can be said, as of the correlation with a
    map of zeros.

    Source: Wang et al., IEEE Transactions on Image Processing 13, 2004, for SSIM.
    """
    return {
        name: np.array([measure(_upto_1(one), _upto_1(other)) for one, other in zip(maps, others, strict=True)])
        for name, measure in (("pcc", _pcc), ("ssim", _ssim), ("mse", _mse))
    }


def measured(attacked: "Attacked") -> dict[str, Float[np.ndarray, " n"]]:
    """What can be said of every photo, by name.

    ``own_*`` compare with the photo's map before the attack, ``goal_*`` with what it should become; ``_before`` and
    ``_after`` the attack, and ``_noise`` where the change is shuffled instead. ``way`` is the part of the way that the
    correlation went from its start to 1, ``rms`` and ``largest`` the change in levels, ``psnr`` the same in dB,
    ``logits`` their change relative to them, ``stays`` whether the prediction does, ``softened`` whether the attack
    went through softplus.
    """
    compared = {
        "goal_before": (attacked.maps, attacked.goals),
        "goal_after": (attacked.changed_maps, attacked.goals),
        "goal_noise": (attacked.noisy_maps, attacked.goals),
        "own_after": (attacked.changed_maps, attacked.maps),
        "own_noise": (attacked.noisy_maps, attacked.maps),
    }
    found = {f"{place}_{name}": values for place, pair in compared.items() for name, values in likeness(*pair).items()}
    before, after = found["goal_before_pcc"], found["goal_after_pcc"]
    change = attacked.changed.astype(float) - attacked.images
    rms = np.sqrt((change**2).mean((1, 2, 3)))
    moved = np.linalg.norm(attacked.changed_logits - attacked.logits, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return found | {
            "way": (after - before) / (1 - before),
            "rms": rms,
            "largest": np.abs(change).max((1, 2, 3)),
            "psnr": 20 * np.log10(_WHITE / rms),
            "logits": moved / np.linalg.norm(attacked.logits, axis=-1),
            "stays": (attacked.changed_logits.argmax(-1) == attacked.classes).astype(float),
            "softened": attacked.softened.astype(float),
        }


def report(found: Mapping[str, "Attacked"], subject: Subject, *, attack: Attack, told: Mapping[str, Any]) -> Report:
    """Means with their intervals, and a few photos before and after.

    Args:
        found: by method, from `srd_jax.evaluation.manipulation_runs.attack_all`.
        subject: on what.
        attack: how.
        told: what else to tell of the run.
    """
    values = {method: measured(attacked) for method, attacked in found.items()}
    summary = {method: _summary(each) for method, each in values.items()}
    first = next(iter(found.values()))
    photos, few = len(first.images), min(_SHOWN, len(first.images))
    most = "any change" if attack.bound is None else f"at most {attack.bound} levels"
    figure = draw_before_and_after(
        {
            method: [
                (each.images[i], each.maps[i], each.changed[i], each.changed_maps[i], each.goals[i]) for i in range(few)
            ]
            for method, each in found.items()
        },
        captions=[subject.labels[int(target)] for target in first.classes[:few]],
        headings=("photo", "its map", "attacked", "its map", "target map"),
        title="Photos changed so that their maps become others",
        details=(
            f"{subject.model}, {subject.weights} weights  ·  {attack.steps:,} steps, {most}  ·  magnitudes, each map "
            "in its own scale",
        ),
    )
    return Report(
        subject.stem("attack"),
        f"{subject.model} on {photos} {subject.images}, {attack.steps:,} steps, {most}: means, of the way with 95 % "
        "intervals",
        ("Method", "Before", "After", "Of the way", "SSIM", "Own", "Noise", "Levels", "Logits", "Class kept"),
        [_row(method, each) for method, each in summary.items()],
        {
            **subject.record,
            "photos": photos,
            "attack": vars(attack),
            **told,
            "results": summary,
            "by_photo": {
                method: {name: [_number(value) for value in row] for name, row in each.items()}
                for method, each in values.items()
            },
        },
        figure,
        remarks=(_LEGEND,),
        notice=untrained_notice(trained=subject.trained),
    )  # fmt: skip


def _row(method: str, summary: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    def cell(name: str, form: str = ".2f", *, interval: bool = False) -> str:
        if name not in summary:
            return "-"
        mean, low, high = (format(summary[name][key], form) for key in ("mean", "low", "high"))
        return f"{mean} [{low}, {high}]" if interval else mean

    return (
        method,
        cell("goal_before_pcc"),
        cell("goal_after_pcc"),
        cell("way", ".0%", interval=True),
        cell("goal_after_ssim"),
        cell("own_after_pcc"),
        cell("own_noise_pcc"),
        cell("rms"),
        cell("logits", ".1%"),
        cell("stays", ".0%"),
    )


def _summary(values: Mapping[str, Float[np.ndarray, " n"]]) -> dict[str, dict[str, float]]:
    """By measure the mean and its interval over the photos of which it says something."""
    summary = {}
    for name, numbers in values.items():
        known = numbers[np.isfinite(numbers)]
        if len(known):
            mean, low, high = (float(each) for each in bootstrap(jax.random.key(0), jnp.asarray(known, jnp.float32)))
            summary[name] = {"mean": mean, "low": low, "high": high, "photos": len(known)}
    return summary


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _upto_1(heat: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    sizes = np.abs(heat.astype(np.float64))
    return sizes / (sizes.max() or 1)


def _pcc(one: Float[np.ndarray, "h w"], other: Float[np.ndarray, "h w"]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if one.std() and other.std() else np.nan


def _ssim(one: Float[np.ndarray, "h w"], other: Float[np.ndarray, "h w"]) -> float:
    window = min(_WINDOW, *(side - 1 + side % 2 for side in one.shape))
    return float(structural_similarity(one, other, win_size=window, data_range=1)) if window > 1 else np.nan


def _mse(one: Float[np.ndarray, "h w"], other: Float[np.ndarray, "h w"]) -> float:
    return float(((one - other) ** 2).mean())
