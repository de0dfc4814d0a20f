"""What the commands print: tables and results on stdout, progress and errors on stderr."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from srd_jax.messages import shortened

__all__ = [
    "extents",
    "line",
    "one_line",
    "printable",
    "problem",
    "progress_bar",
    "show",
    "table",
    "throughput_bar",
    "waiting",
]

_LISTED = 3
_LONGEST_WORD = 200
_PLAIN_WIDTH = 120  # of tables that go into a file or another program
_ENDLESS = 10_000


def printable(text: str) -> str:
    """The text without characters that could move the cursor or cannot be encoded."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def one_line(message: str) -> str:
    """A message in one line; of a list below a headline, its first items and how many more there are.

    Of a word so long that it would hide the message, such as a number of a thousand digits, both ends are shown.
    """
    parts = (map(printable, part.split()) for part in message.splitlines() if part.strip())
    lines = [" ".join(shortened(word, _LONGEST_WORD) for word in words) for words in parts]
    head, items = lines[:1], lines[1:]
    if len(items) > _LISTED + 1:
        items = [*items[:_LISTED], f"and {len(items) - _LISTED} more"]
    return " ".join([*head, "; ".join(items)]).strip()


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    text_columns: Sequence[int] = (0,),
    whole: Sequence[int] = (),
) -> Table:
    """A table of strings.

    Args:
        title: above it.
        columns: their headings.
        rows: one string for each column.
        text_columns: indices of the columns that are aligned to the left; numbers go to the right.
        whole: indices of those whose words are not broken, as those of numbers never are.
    """
    made = Table(title=Text(printable(title), style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        is_text = index in text_columns
        kept = not is_text or index in whole
        made.add_column(Text(printable(column)), justify="left" if is_text else "right", no_wrap=kept, overflow="fold")
    for row in rows:
        made.add_row(*(Text(printable(cell)) for cell in row))
    return made


def extents(sizes: tuple[int, ...]) -> str:
    """Extents along axes, as in 7 x 7."""
    return " \N{MULTIPLICATION SIGN} ".join(map(str, sizes))


def show(*tables: Table) -> None:
    """Print tables on stdout."""
    console = Console()
    for made in tables:
        if console.is_terminal:
            console.print(made)
        else:
            endless = Console(width=_ENDLESS)
            least = Measurement.get(endless, endless.options, made).minimum  # a file has room for every number
            Console(width=max(_PLAIN_WIDTH, least)).print(made)


def line(text: str, style: str = "") -> None:
    """Print one line on stdout as it is, never broken."""
    Console().print(Text(printable(text), style=style), soft_wrap=True)


def problem(text: str, progress: Progress) -> None:
    """Print what is wrong with one of many inputs as one line on stderr, above a progress bar."""
    progress.console.print(Text(f"srd: {one_line(text)}"), soft_wrap=True)


def progress_bar() -> Progress:
    """A progress bar on stderr that vanishes when it is done, and is nothing where stderr is no terminal."""
    return _progress(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """The rate of late."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


def throughput_bar() -> Progress:
    """A progress bar for long work, with how many are done a second and the time that is left."""
    return _progress(BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())


def waiting(what: str) -> Progress:
    """The same for one task of unknown length."""
    made = _progress()
    made.add_task(printable(what), total=None)
    return made


def _progress(*columns: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
