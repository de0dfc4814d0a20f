"""Chunks of one size, with gaps where images cannot be read."""

import io

import numpy as np
from PIL import Image

from srd_jax.data.chunks import chunks
from srd_jax.data.images import Images


def encoded(value):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (value, value, value)).save(file, "PNG")
    return file.getvalue()


FILES = [encoded(value) for value in range(7)]
FILES[4] = FILES[4][: len(FILES[4]) // 2]
FILES[5] = b"no image"


def read(place):
    if place == 3:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[place], place + 10


IMAGES = Images("seven", tuple("abcdefg"), None, read)


def prepared(image):
    return np.asarray(image.convert("RGB"), np.float32)


def found(*indices):
    return list(chunks(IMAGES, indices, 3, size=4, prepare=prepared))


def test_chunks_have_one_size_and_the_last_is_filled_up():
    parts = found(0, 1, 2)
    assert [(part.index, part.start, part.count) for part in parts] == [(0, 0, 3), (1, 3, 3), (2, 6, 1)]
    assert {part.inputs.shape for part in parts} == {(3, 4, 4, 3)}
    np.testing.assert_array_equal(parts[0].inputs[:, 0, 0, 0], [0, 1, 2])
    np.testing.assert_array_equal(parts[0].labels, [10, 11, 12])
    np.testing.assert_array_equal(parts[2].inputs[:, 0, 0, 0], [6, 0, 0])
    np.testing.assert_array_equal(parts[2].labels, [16, -1, -1])


def test_an_image_that_cannot_be_read_says_why():
    _, bad, _ = found(0, 1, 2)
    assert list(bad.problems) == [0, 1, 2]
    assert bad.problems[0] == "No such file or directory"
    assert all("cannot be read as an image" in bad.problems[row] for row in (1, 2))
    assert "0x" not in bad.problems[2]
    assert not bad.inputs.any()


def test_only_what_is_asked_for_is_read():
    (last,) = found(2)
    assert (last.index, last.start, last.count, dict(last.problems)) == (2, 6, 1, {})
    assert found() == []
