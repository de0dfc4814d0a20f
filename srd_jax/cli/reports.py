"""How the commands show a report: remarks, the table, the files, and at last what must not be overlooked."""

from pathlib import Path
from typing import TYPE_CHECKING

from .terminal import line, show, table

if TYPE_CHECKING:
    from srd_jax.evaluation.report import Report
    from srd_jax.models import Network

__all__ = ["show_notice", "show_report"]


def show_report(report: "Report", out: Path) -> None:
    """Write a report's files, and print it."""
    files = report.write(out)
    for remark in report.remarks:
        line(remark)
    show(table(report.title, report.headings, report.rows, text_columns=report.text_columns, whole=report.whole))
    for path in files:
        line(str(path))
    if report.notice:
        line(report.notice, style="bold red")


def show_notice(net: "Network") -> None:
    """Say that a model has learnt nothing, where it has not."""
    from srd_jax.evaluation.report import untrained_notice  # noqa: PLC0415

    if text := untrained_notice(trained=net.trained):
        line(text, style="bold red")
