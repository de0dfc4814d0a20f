"""The picture of a training shows every curve and its last accuracy."""

from srd_jax.training.curves import draw_curves


def test_every_curve_is_drawn():
    history = [
        {"step": step, "train_loss": 5 / step, "validation_loss": 6 / step, "validation_top5": step / 20,
         "validation_top1": step / 40, "train_top1": step / 30}
        for step in (1, 5, 10)
    ]  # fmt: skip
    figure = draw_curves(history)
    losses, shares = figure.axes
    assert [len(axes.get_lines()) for axes in (losses, shares)] == [2, 3]
    assert [text.get_text() for text in shares.texts] == ["25.0 %"]
    assert list(shares.get_lines()[0].get_ydata()) == [5, 25, 50]
    figure.draw_without_rendering()
