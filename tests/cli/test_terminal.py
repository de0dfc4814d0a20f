"""What is shown on a terminal, and not elsewhere."""

import re
import subprocess
import sys
import time

import pytest

from srd_jax.cli.terminal import one_line, problem, progress_bar, show, table, throughput_bar, waiting

MARKUP = ":smile: [bold]x[/bold] [/red] \udcff"


def progress(capsys):
    with throughput_bar() as bar:
        task = bar.add_task("Explaining", total=100)
        for _ in range(4):
            time.sleep(0.02)
            bar.advance(task, 10)
        bar.refresh()
    return capsys.readouterr()


def test_a_bar_says_how_fast_it_goes_and_how_long_it_takes(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    out, err = progress(capsys)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert out == ""
    assert "40/100" in text
    assert 50 < float(re.findall(r"([\d.]+)/s", text)[-1]) <= 500
    assert re.search(r"\d:\d\d:\d\d", text)


def test_a_file_gets_none(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    assert progress(capsys) == ("", "")


def test_names_are_printed_as_they_are(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    shown = MARKUP.replace("\udcff", "\ufffd")
    show(table(MARKUP, (MARKUP,), [(MARKUP,)]))
    with waiting(MARKUP):
        pass
    problem(MARKUP, progress_bar())
    out, err = (re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", each) for each in capsys.readouterr())
    assert out.count(shown) == 3
    assert err.endswith(f"srd: {shown}\n")


def test_a_line_does_not_grow_with_what_it_quotes():
    assert len(one_line("9" * 10**6 + " is no class")) < 300
    assert one_line("a\tb\n\nc  d") == "a b c d"


def srd(*arguments, **options):
    call = [sys.executable, "-c", "from srd_jax.cli import main; main()", *arguments]
    return subprocess.run(call, stderr=subprocess.PIPE, check=False, **options)


@pytest.mark.parametrize("arguments", [["models"], ["--help"]])
def test_a_full_disk_is_one_line(arguments):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = srd(*arguments, stdout=full)
    assert done.returncode == 2
    assert done.stderr == b"srd: the results cannot be printed: No space left on device\n"


def test_other_encodings_get_what_they_can_show(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = srd("layers", "--model", "resnet18", stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert b"resnet18 at 224 ? 224 pixels" in done.stdout
