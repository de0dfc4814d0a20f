"""``srd erf``: the effective receptive fields of PFVs on a photo."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srd_jax.errors import LayerError
from srd_jax.files import check_folder, replacing
from srd_jax.messages import did_you_mean

from .options import DEFAULT_MODEL, At, BiasOption, Cache, ModelName, Out, Size, Weights
from .terminal import extents, line, waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    import srd_jax as srd

__all__ = ["erf"]

Position = tuple[int, int]


def erf(
    *,
    image: Annotated[Path | None, typer.Argument(help="A photo; without one, a cat that comes along.")] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer", "-l", metavar="NAME", help="A PFV map; `srd layers` lists them.", show_default="the last"
        ),
    ] = None,
    at: At = None,
    model: ModelName = DEFAULT_MODEL,
    weights: Weights = None,
    bias: BiasOption = "norm",
    size: Size = None,
    out: Out = Path("srd-out"),
    cache: Cache = True,
) -> None:
    """Show which pixels make up the PFVs at some positions of a layer, as pictures and as raw numbers."""
    given = [_parse_position(text) for text in at or ()]
    check_folder(out)

    import jax  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    import srd_jax as srd  # noqa: PLC0415
    from srd_jax.batch import check_logits  # noqa: PLC0415
    from srd_jax.drawing.pictures import draw_receptive_field, write_png  # noqa: PLC0415
    from srd_jax.evaluation.photos import photo_files, pixels_of, read_photo  # noqa: PLC0415
    from srd_jax.evaluation.report import UNTRAINED  # noqa: PLC0415

    from .caching import keep_programs  # noqa: PLC0415
    from .inputs import layers_of, load_model, outline, weights_label  # noqa: PLC0415
    from .reports import show_notice  # noqa: PLC0415

    wanted = outline(model, size)
    chosen, positions = _choose(layers_of(wanted), layer, given)
    (file,) = photo_files([image] if image else None)
    photo = read_photo(file, wanted.name, wanted.images.shape[1])
    keep_programs(cache=cache)
    net = load_model(model, weights)
    label = weights_label(model, weights)
    decompose = srd.decompose(net.apply, bias=bias)

    @jax.jit
    def fields_of(variables, images):
        logits, flow = decompose(variables, images)
        return logits, flow.erf(chosen.name, positions)[0]

    written = []
    with waiting(f"Decomposing {net.name}"):
        logits, fields = map(np.asarray, fields_of(net.variables, pixels_of(net, [photo])))
        check_logits(logits, net.name)
        for (row, column), field in zip(positions, fields, strict=True):
            figure = draw_receptive_field(
                photo.crop,
                field,
                grid=(chosen.grid[0], chosen.grid[1]),
                position=(row, column),
                title=f"{chosen.name} at row {row}, column {column}",
                details=(
                    f"grid {extents(chosen.grid)}  ·  {chosen.channels} channels  ·  could depend on "
                    f"{extents(chosen.receptive_field)} pixels",
                    f"{photo.name}  ·  {net.name}, {label} weights  ·  bias {bias}",
                ),
                notice="" if net.trained else UNTRAINED,
                sharp=photo.sharp,
            )
            name = f"{photo.stem}_{net.name}_erf_{chosen.name.replace('/', '.')}_{row}-{column}"
            picture, numbers = out / f"{name}.png", out / f"{name}.npz"
            with replacing(picture) as target:
                write_png(figure, target)
            with replacing(numbers) as target:
                np.savez_compressed(
                    target,
                    erf=field,
                    layer=chosen.name,
                    position=(row, column),
                    grid=chosen.grid,
                    receptive_field=chosen.receptive_field,
                    model=net.name,
                    weights=label,
                    trained=net.trained,
                    bias=bias,
                    image=photo.name,
                    crop=photo.crop,
                )
            written += [picture, numbers]
    for path in written:
        line(str(path))
    show_notice(net)


def _parse_position(text: str) -> Position:
    numbers = re.fullmatch(r"\s*(-?\d{1,9})\s*,\s*(-?\d{1,9})\s*", text)
    if numbers is None:
        raise typer.BadParameter(f"{text!r} is not ROW,COL, two whole numbers such as 3,5", param_hint="'--at'")
    return int(numbers[1]), int(numbers[2])


def _choose(
    layers: "Sequence[srd.Layer]", name: str | None, given: "Sequence[Position]"
) -> tuple["srd.Layer", list[Position]]:
    """The layer and the positions asked for, checked; by default the last layer and its middle."""
    by_name = {layer.name: layer for layer in layers}
    if name is None:
        name = layers[-1].name
    if name not in by_name:
        raise LayerError(f"no PFV map is called {name!r}; {did_you_mean(name, list(by_name))}")
    layer = by_name[name]
    if len(layer.grid) != 2:
        raise LayerError(f"{name!r} has no grid of rows and columns, and so no positions to show")
    rows, columns = layer.grid
    for row, column in given:
        if not (0 <= row < rows and 0 <= column < columns):
            raise LayerError(
                f"position {row},{column} is outside {name!r}, which has rows 0 to {rows - 1} and columns 0 to "
                f"{columns - 1}; did you mean {min(max(row, 0), rows - 1)},{min(max(column, 0), columns - 1)}?"
            )
    return layer, list(dict.fromkeys(given)) or [(rows // 2, columns // 2)]
