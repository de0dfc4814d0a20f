"""What an experiment found, in every form in which people look at it: a table, numbers, a picture, a warning."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srd_jax.drawing.pictures import write_png
from srd_jax.files import replacing, slug

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from srd_jax.models import Network

__all__ = ["UNTRAINED", "Report", "Subject", "untrained_notice"]

UNTRAINED = "Untrained weights: the network is random, so this says nothing about the photo."


@dataclass(frozen=True)
class Subject:
    """What an experiment was made on.

    Attributes:
        model: its name.
        weights: what to call them.
        trained: whether they are.
        labels: class names in logit order.
        data: name of the data set, None for photos.
        split: of the set.
    """

    model: str
    weights: str
    trained: bool
    labels: tuple[str, ...]
    data: str | None = None
    split: str | None = None

    @classmethod
    def of(cls, net: "Network", weights: str, data: str | None = None, split: str | None = None) -> "Subject":
        """The subject that a loaded model and a split of a data set, or photos, are."""
        return cls(net.name, weights, net.trained, tuple(net.labels), data, split if data else None)

    @property
    def images(self) -> str:
        """What the images are, in words."""
        return "photos" if self.data is None else f"images of {self.data} {self.split}"

    @property
    def record(self) -> dict[str, Any]:
        """The subject in a report's numbers."""
        return {
            "model": self.model,
            "weights": self.weights,
            "trained": self.trained,
            "data": self.data,
            "split": self.split,
        }

    def stem(self, what: str) -> str:
        """What files about it are called."""
        return f"{slug(self.data) if self.data else 'photos'}_{self.model}_{what}"


@dataclass(frozen=True, eq=False)
class Report:
    """What an experiment found.

    Attributes:
        stem: name of its files without a suffix.
        title: of the table.
        headings: of the table's columns.
        rows: of the table.
        record: the numbers, as JSON takes them.
        figure: the picture.
        text_columns: the table's columns that are no numbers.
        whole: those of them whose words are not broken.
        remarks: what must be said before the table.
        notice: what must be said after everything else, empty for nothing.
        sheets: more pictures, by what is added to their files' names.
    """

    stem: str
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    record: Mapping[str, Any]
    figure: "Figure"
    text_columns: Sequence[int] = (0,)
    whole: Sequence[int] = ()
    remarks: Sequence[str] = field(default=())
    notice: str = ""
    sheets: Mapping[str, "Figure"] = field(default_factory=dict)

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write the pictures and the numbers.

        Args:
            folder: there must be one.

        Returns:
            The files.

        Raises:
            SRDError: they cannot be written.
        """
        pictures = {f"{self.stem}.png": self.figure}
        pictures |= {f"{self.stem}_{name}.png": figure for name, figure in self.sheets.items()}
        for name, figure in pictures.items():
            with replacing(folder / name) as file:
                write_png(figure, file)
        numbers = folder / f"{self.stem}.json"
        with replacing(numbers) as file:
            file.write((json.dumps(self.record, indent=2) + "\n").encode())
        return *(folder / name for name in pictures), numbers


def untrained_notice(*, trained: bool) -> str:
    """What to say of a model that has learnt nothing, empty for others."""
    return "" if trained else f"{UNTRAINED} Give --weights FILE for a model that has learnt."
