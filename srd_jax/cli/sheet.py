"""Maps of a store beside their images, on one sheet."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srd_jax.data.images import Images
    from srd_jax.models import Network

__all__ = ["draw_sheet"]


def draw_sheet(out: Path, images: "Images", net: "Network", count: int, side: int) -> Path:
    """A contact sheet of maps from all over the images, as a file of the store.

    Args:
        out: the store, in which there is a map.
        images: those that were explained.
        net: what explained them.
        count: how many to draw.
        side: of the model's input in pixels.

    Returns:
        The file.

    Raises:
        SRDError: it cannot be written.
    """
    import numpy as np  # noqa: PLC0415

    from srd_jax.data import open_maps  # noqa: PLC0415
    from srd_jax.data.store import DONE, SHEET, write_file  # noqa: PLC0415
    from srd_jax.drawing.charts import draw_contact_sheet  # noqa: PLC0415
    from srd_jax.drawing.pictures import write_png  # noqa: PLC0415
    from srd_jax.models import photos  # noqa: PLC0415

    found = open_maps(out)
    done = (found.status[:] == DONE).nonzero()[0]
    chosen = done[np.linspace(0, len(done) - 1, min(count, len(done))).round().astype(int)]
    shown = net.preprocess.at(side)
    names = [net.labels[each] if isinstance(each, int) else each for each in found.run["targets"]]
    maps = found.maps[chosen].astype(np.float32)
    figure = draw_contact_sheet(
        [shown.crop(photos.decoded(images.read(int(place))[0], images.ids[place])) for place in chosen],
        {name: list(maps[:, k]) for k, name in enumerate(names)},
        captions=[net.labels[each] for each in found.predicted[chosen]],
        title=f"{len(chosen)} of {len(images)} images",
        details=(
            f"{net.name}{'' if net.trained else ', untrained'}; left, what it predicts",
            Path(images.name).name,
        ),
    )
    drawn = io.BytesIO()
    write_png(figure, drawn)
    return write_file(out, SHEET, drawn.getvalue())
