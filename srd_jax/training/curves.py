"""The course of a training as a picture."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

__all__ = ["draw_curves"]

_TRAIN, _VALIDATION, _TOP5 = "#9a9a9a", "#b2182b", "#2166ac"


def draw_curves(history: Sequence[Mapping[str, float]]) -> Figure:
    """Loss and accuracy by step.

    Args:
        history: `train`'s metrics, oldest first.
    """
    figure = Figure(figsize=(9.2, 3.6), layout="constrained")
    losses, shares = figure.subplots(1, 2)
    steps = [each["step"] for each in history]

    def draw(axes, key, label, colour, scale=1.0):
        axes.plot(steps, [scale * each[key] for each in history], "o-", ms=2.5, lw=1.3, color=colour, label=label)

    draw(losses, "train_loss", "training batches, smoothed targets", _TRAIN)
    draw(losses, "validation_loss", "validation", _VALIDATION)
    draw(shares, "validation_top5", "validation, top 5", _TOP5, 100)
    draw(shares, "validation_top1", "validation, top 1", _VALIDATION, 100)
    draw(shares, "train_top1", "training batches, top 1", _TRAIN, 100)
    best = 100 * history[-1]["validation_top1"]
    shares.annotate(
        f"{best:.1f} %", (steps[-1], best), textcoords="offset points", xytext=(-4, 6), ha="right", fontsize=9
    )
    losses.set_ylabel("cross-entropy in nats")
    shares.set_ylabel("right answers in %")
    for axes in (losses, shares):
        axes.set_xlabel("step")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
    shares.set_ylim(bottom=0)
    return figure
