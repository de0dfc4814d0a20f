"""What ``srd batch`` says of what it finds: each image left out, and what was mended, by number and example."""

import pytest

from srd_jax.cli.findings import checked, tell, tell_unreadable, what_is_left_out
from srd_jax.cli.terminal import progress_bar
from srd_jax.data.images import Images
from srd_jax.data.store import Writer
from tests.small_stores import CONTENTS, RUN, images, write


@pytest.fixture
def said(capsys):
    """What was said on stderr since, a line each."""

    def lines():
        return capsys.readouterr().err.splitlines()

    return lines


def test_empty_texts_are_not_told(said):
    with progress_bar() as progress:
        tell(progress, "", "one", "", "two")
    assert said() == ["srd: one", "srd: two"]


def test_images_that_cannot_be_read_are_told_by_name(said):
    with progress_bar() as progress:
        tell_unreadable(progress, images(CONTENTS), {3: "it is a pipe"})
    assert said() == ["srd: photo 3 is left out: it is a pipe"]


def test_what_else_a_folder_holds():
    assert what_is_left_out(Images("photos", (), None, lambda _: (b"", -1), "2 other files")) == (
        "not taken from photos: 2 other files"
    )
    assert not what_is_left_out(images(CONTENTS))


def test_damage_changes_and_files_of_others_are_counted_and_withdrawn(said, tmp_path):
    folder = write(tmp_path / "maps")
    chunk = next(path for path in (folder / "maps" / "c" / "2").rglob("*") if path.is_file())
    chunk.write_bytes(b"damaged")
    (folder / "stranger.txt").write_text("mine")
    contents = [*CONTENTS[:4], b"another", *CONTENTS[5:]]
    with progress_bar() as progress:
        found = checked(Writer(folder, RUN), images(contents), ["run.json"], progress)
    assert found.missing == (1, 2)
    (mended, unreadable) = said()
    assert f"in {folder}, damaged files written again: 1 (first run.json)" in mended
    assert "damaged chunks made again: 1 (first maps/c/2" in mended
    assert "chunks of changed images made again: 1 (first photo 4)" in mended
    assert "files of others left alone: 1 (first stranger.txt)" in mended
    assert unreadable == "srd: photo 2 is left out: it could not be read before"
    assert not chunk.exists()
