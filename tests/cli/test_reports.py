"""How a report is shown: its remarks, table and files, and last what must not be overlooked."""

import json
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from srd_jax.cli.reports import show_notice, show_report
from srd_jax.evaluation.report import UNTRAINED, Report


def report(**fields):
    rows = [("one", "0.25"), ("two", "0.50")]
    return Report("photos_small_what", "What was found", ("name", "value"), rows, {"one": 0.25}, Figure(), **fields)


def test_a_report_is_printed_and_written(capsys, tmp_path):
    show_report(report(remarks=["a remark"], notice="a notice"), tmp_path)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == "a remark"
    assert lines[1] == "What was found"
    assert lines[-3:] == [str(tmp_path / "photos_small_what.png"), str(tmp_path / "photos_small_what.json"), "a notice"]
    assert json.loads((tmp_path / "photos_small_what.json").read_text()) == {"one": 0.25}
    assert (tmp_path / "photos_small_what.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("trained", [True, False])
def test_only_a_model_that_has_learnt_nothing_gets_a_notice(trained, capsys):
    show_notice(SimpleNamespace(trained=trained))
    said = " ".join(capsys.readouterr().out.split())
    assert said == ("" if trained else f"{UNTRAINED} Give --weights FILE for a model that has learnt.")
