"""``srd batch``: maps of every image of a folder, a list or a data set, into one store that survives a kill."""

import hashlib
import stat
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import srd_jax
from srd_jax.errors import DataError, SRDError, TargetError
from srd_jax.files import check_folder, is_address

from .extras import needing
from .options import MOST_AT_ONCE, Bias, Contrast, DataDir, Head, ManualDir, ModelName, Size, Split, Weights
from .sheet import draw_sheet
from .targets import Rank, parse, resolve
from .terminal import line, problem, throughput_bar

if TYPE_CHECKING:
    import numpy as np
    from rich.progress import Progress

    from srd_jax.data.checks import Check
    from srd_jax.data.chunks import Chunk
    from srd_jax.data.images import Images
    from srd_jax.data.store import Rows, Writer
    from srd_jax.models import Model

__all__ = ["batch"]

LABEL = "label"
_SHOWN_AT_MOST = 100
_TRUE = -1  # stands for it among class indices


def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A folder of images, a text file that names one a line, or the name of a TFDS set."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the maps, made if needed.")],
    *,
    split: Split = "validation",
    data_dir: DataDir = None,
    manual_dir: ManualDir = None,
    model: ModelName = "tiny_resnet",
    weights: Weights = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="label|NAME|INDEX|topK",
            help="Class to explain: the set's true label, a name or an index, or the K likeliest; repeatable.",
            show_default="top1",
        ),
    ] = None,
    contrast: Annotated[Contrast, typer.Option(help="What the encoder's relevance is compared with.")] = "spatial",
    bias: Annotated[Bias, typer.Option(help="How biases are shared among contributions.")] = "norm",
    head: Annotated[Head, typer.Option(help="How the logit is divided at the encoder's output.")] = "linear",
    size: Size = None,
    batch: Annotated[
        int, typer.Option(min=1, max=MOST_AT_ONCE, help="Images at a time, and in each chunk of the store.")
    ] = 32,
    dtype: Annotated[
        Literal["float16", "float32"], typer.Option(help="Of the stored maps; float16 keeps three digits above 6e-5.")
    ] = "float32",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was begun, with the same options, and mend it.")
    ] = False,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Share the work with the other processes of a cluster that JAX finds.")
    ] = False,
    show: Annotated[
        int, typer.Option(min=0, max=_SHOWN_AT_MOST, help="How many maps to draw beside their images as sheet.png.")
    ] = 0,
) -> None:
    """Explain every image of a folder, a list or a data set; `srd_jax.data.open_maps` reads the result."""
    import jax  # noqa: PLC0415

    if distributed:
        _join()
    check_folder(out)
    wanted = parse(target or ["top1"])
    with needing("data"):
        from srd_jax.data import chunks, recipe, store  # noqa: PLC0415

    from .inputs import load_model, outline  # noqa: PLC0415
    from .labelled import only_labelled  # noqa: PLC0415

    side = outline(model, size).images.shape[1]
    images = _open(source, split, out, data_dir=data_dir, manual_dir=manual_dir)
    net = load_model(model, weights)
    classes = _classes(wanted, net, images)
    if LABEL in wanted:
        images = only_labelled(images)
    options = {"contrast": contrast, "bias": bias, "head": head}
    run = {
        "srd_jax": srd_jax.__version__,
        "model": model,
        "weights": weights or "default",
        "checksum": _checksum(net),
        "source": images.name,
        "images": len(images),
        "ids": recipe.ids_checksum(images.ids),
        "targets": [
            f"top{each.rank}" if isinstance(each, Rank) else LABEL if each == _TRUE else each for each in classes
        ],
        **options,
        "size": side,
        "batch": batch,
        "dtype": dtype,
    }
    first = jax.process_index() == 0
    store.prepare_store(out, run, images.ids, resume=resume, write=False)
    _together("looked")  # nobody begins before everybody has found that it may
    mended = store.prepare_store(out, run, images.ids, resume=True, write=True) if first else ()
    _together("begun")
    writer = store.Writer(out, run)

    mine = range(jax.process_index(), writer.chunks, jax.process_count())
    prepare = partial(net.preprocess, size=side, resize=round(side * net.resize / net.size))
    with throughput_bar() as progress:
        task = progress.add_task("Checking", total=len(mine))
        check = _checked(writer, images, mine, partial(progress.advance, task))
        writer.withdraw([*check.damaged, *check.changed])
        others = store.strangers(out, writer.chunks) if first else []
        _tell(progress, _what_is_left_out(images) if first else "", _what_is_mended(out, images, check, mended, others))
        _report(progress, images, dict.fromkeys(check.unreadable, "it could not be read before"))
        left = sum(min(batch, len(images) - index * batch) for index in check.missing)
        progress.update(task, description="Explaining", completed=0, total=left)
        found = chunks.chunks(images, check.missing, batch, size=side, prepare=prepare)
        began = time.monotonic()
        for chunk in _explained(net, classes, options, found, writer):
            _report(progress, images, {chunk.start + row: problem for row, problem in chunk.problems.items()})
            progress.advance(task, chunk.count)
    seconds = time.monotonic() - began
    _together("done")
    lost = _unreadable(store.open_maps(out).status[:])
    if first:
        speed = f", {left / seconds:.1f} images a second" if left else ""
        line(f"{len(images) - len(lost)} of {len(images)} images explained, {len(lost)} could not be read{speed}")
        line(str(out))
        if show and len(lost) < len(images):
            line(str(draw_sheet(out, images, net, show, side)))
    if len(lost):
        raise SRDError(f"{len(lost)} of {len(images)} images have no map: {images.ids[lost[0]]} is the first")


def _open(source: str, split: str, out: Path, *, data_dir: Path | None, manual_dir: Path | None) -> "Images":
    """The images of a folder, of a list, or of a data set's split."""
    from srd_jax import data  # noqa: PLC0415
    from srd_jax.data.images import from_folder, from_list, from_source  # noqa: PLC0415

    path = Path(source)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # no file, or a name that none can have
        mode = 0
    if stat.S_ISDIR(mode):
        if out.resolve().is_relative_to(path.resolve()):
            raise SRDError(f"{out} is in {path}, whose images are explained: choose another folder for the maps")
        return from_folder(path)
    if stat.S_ISREG(mode):
        return from_list(path)
    if is_address(source):
        raise DataError(f"{source} is an address: download what is there, and pass the folder")
    try:
        return from_source(data.open_source(source, split, data_dir=data_dir, manual_dir=manual_dir), split)
    except DataError as error:
        raise DataError(f"{source} is no folder and no list of images, and {error}") from error


def _classes(wanted: Sequence[str | Rank], net: "Model", images: "Images") -> list[int | Rank]:
    """Class indices, ranks, and the true label where it is asked for.

    Raises:
        TargetError: the images have no labels.
        DataError: they have others than the model.
    """
    from .labelled import check_classes  # noqa: PLC0415

    if LABEL in wanted and images.labels is None:
        raise TargetError(f"{images.name} has no labels: give a class or top1 as --target")
    if LABEL in wanted:
        check_classes(net, images.name, images.labels or ())
    return [_TRUE if each == LABEL else resolve([each], net.labels)[0] for each in wanted]


def _checksum(net: "Model") -> str:
    """Of the weights, wherever they are from."""
    import jax  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(net.variables):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _join() -> None:
    """Become one process of several, as the cluster's environment says.

    Raises:
        SRDError: there is no cluster.
    """
    import jax  # noqa: PLC0415

    try:
        jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        raise SRDError(f"--distributed finds no cluster ({error})") from error


def _together(where: str, problem: SRDError | None = None) -> None:
    """Wait for the other processes of a run on several hosts; where one has a problem, all end.

    Raises:
        SRDError: this process has a problem, or another.
    """
    import jax  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    if jax.process_count() > 1:
        from jax.experimental.multihost_utils import process_allgather, sync_global_devices  # noqa: PLC0415

        sync_global_devices(f"srd batch: {where}")
        if np.any(process_allgather(np.array(problem is not None))):
            problem = problem or SRDError("another process of this run cannot go on, as it says")
    if problem:
        raise problem


def _checked(writer: "Writer", images: "Images", indices: Sequence[int], advance: Callable[[], None]) -> "Check":
    """What there is of the chunks of this process.

    Raises:
        SRDError: the maps or the images of a process are in a state in which it cannot go on.
    """
    from srd_jax.data import checks  # noqa: PLC0415

    problem: SRDError | None = None
    try:
        check = checks.check(writer, images, indices, advance)
    except SRDError as error:
        problem = error
    _together("checked", problem)
    return check


def _step(net: "Model", wanted: Sequence[int | Rank], options: Mapping[str, str]) -> Callable[..., Any]:
    """(variables, inputs, labels) -> maps, targets, their logits, predictions, largest logits; compiled once."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    contrast: Any = None if options["contrast"] == "none" else options["contrast"]
    decompose = srd_jax.decompose(net.apply, bias=options["bias"], head=options["head"])  # type: ignore[arg-type]
    most = max((each.rank for each in wanted if isinstance(each, Rank)), default=1)

    @jax.jit
    def step(variables: Any, inputs: Any, labels: Any) -> tuple[Any, ...]:
        logits, flow = decompose(variables, inputs)
        _, likeliest = jax.lax.top_k(logits, most)

        def column(each: int | Rank) -> Any:
            if isinstance(each, Rank):
                return likeliest[:, each.rank - 1]
            return jnp.maximum(labels, 0) if each == _TRUE else jnp.full_like(labels, each)

        targets = jnp.stack([column(each) for each in wanted], 1).astype(jnp.int32)
        maps = flow.relevance(targets, contrast=contrast)[flow.layers[0].name]
        scores = jnp.take_along_axis(logits, targets, 1)
        return maps, targets, scores, likeliest[:, 0].astype(jnp.int32), jnp.max(jnp.abs(logits), 1)

    return step


def _explained(
    net: "Model",
    wanted: Sequence[int | Rank],
    options: Mapping[str, str],
    found: Iterable["Chunk"],
    writer: "Writer",
) -> Iterable["Chunk"]:
    """Chunks that have been written; the next one is computed, on all devices of this process, while one is."""
    import jax  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: PLC0415

    from .inputs import check_logits  # noqa: PLC0415

    mesh = Mesh(np.array(jax.local_devices()), ("batch",))
    spread = NamedSharding(mesh, PartitionSpec("batch"))

    def rows(chunk: np.ndarray) -> Any:
        """As many for every device: what is added is left out of what is kept, as at the end of the last chunk."""
        added = [(0, -len(chunk) % mesh.size)] + [(0, 0)] * (chunk.ndim - 1)
        return jax.device_put(np.pad(chunk, added), spread)

    def written(chunk: "Chunk", results: Sequence[Any]) -> "Chunk":
        *kept, largest = results
        check_logits(np.delete(largest[: chunk.count], list(chunk.problems)), net.name)
        writer.write(chunk.index, _rows(chunk, kept, writer.dtype))
        return chunk

    step = _step(net, wanted, options)
    variables = jax.device_put(net.variables, NamedSharding(mesh, PartitionSpec()))
    before: tuple[Chunk, Any] | None = None
    for chunk in found:
        ahead = chunk, step(variables, rows(chunk.inputs), rows(chunk.labels))
        if before:
            yield written(*before)
        before = ahead
    if before:
        yield written(*before)


def _rows(chunk: "Chunk", results: Sequence[Any], dtype: Any) -> "Rows":
    """What is kept of a chunk: nothing of the images that cannot be read."""
    import numpy as np  # noqa: PLC0415

    from srd_jax.data.store import DONE, UNREADABLE, Rows  # noqa: PLC0415

    maps, targets, scores, predicted = (np.array(each)[: chunk.count] for each in results)
    status = np.full(chunk.count, DONE, np.uint8)
    gaps = list(chunk.problems)
    status[gaps] = UNREADABLE
    maps[gaps], scores[gaps], targets[gaps], predicted[gaps] = np.nan, np.nan, -1, -1
    with np.errstate(over="ignore"):
        return Rows(maps.astype(dtype), targets, scores.astype(np.float32), predicted, status, chunk.checksums)


def _unreadable(status: "np.ndarray") -> "np.ndarray":
    from srd_jax.data.store import UNREADABLE  # noqa: PLC0415

    return (status == UNREADABLE).nonzero()[0]


def _report(progress: "Progress", images: "Images", problems: Mapping[int, str]) -> None:
    """One line on stderr for each image that cannot be read."""
    _tell(progress, *(f"{images.ids[place]} is left out: {reason}" for place, reason in problems.items()))


def _tell(progress: "Progress", *texts: str) -> None:
    """Texts that are not empty on stderr, one line each."""
    for text in filter(None, texts):
        problem(text, progress)


def _what_is_left_out(images: "Images") -> str:
    return images.left_out and f"not taken from {images.name}: {images.left_out}"


def _what_is_mended(
    out: Path, images: "Images", check: "Check", mended: Collection[str], others: Collection[str]
) -> str:
    """What a store was found to lack when a run went on with it, by number and with an example; empty for nothing."""
    found = {
        "damaged files written again": mended,
        "damaged chunks made again": list(check.damaged.values()),
        "chunks of changed images made again": [images.ids[place] for place in check.changed.values()],
        "files of others left alone": others,
    }
    told = [f"{what}: {len(each)} (first {next(iter(each))})" for what, each in found.items() if each]
    return f"in {out}, {', '.join(told)}" if told else ""
