"""What is shown on a terminal, and not elsewhere."""

import re
import time

from srd_jax.cli.terminal import throughput_bar


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
