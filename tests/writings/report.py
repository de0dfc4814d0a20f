"""The table of writings: ``python -m tests.writings.report [FAMILY ...]``."""

import sys
from collections import Counter

import jax
from rich.console import Console
from rich.table import Table

from tests.writings.agreement import SAME_LOGITS, compare, explain
from tests.writings.families import FAMILIES


def main(chosen: list[str]) -> None:
    """Print every writing of the chosen families, or of all, and how many agree, differ and are refused."""
    table = Table("family", "writing", "bias", "verdict", "maps differ by", "logits differ by")
    totals: Counter[str] = Counter()
    with jax.enable_x64(True):
        for family in FAMILIES:
            if chosen and family.name not in chosen:
                continue
            for bias in family.biases:
                reference = explain(family.reference, bias)
                for name, writing in family.writings.items():
                    found = compare(writing, reference, bias)
                    totals[found.verdict] += 1
                    logits = "" if found.logits < SAME_LOGITS else f"{found.logits:.0e}"
                    table.add_row(family.name, name, bias, found.verdict, f"{found.maps:.0e}", logits)
    Console(width=130).print(table)
    print(", ".join(f"{totals[verdict]} {verdict}" for verdict in ("agrees", "differs", "refused")))


if __name__ == "__main__":
    main(sys.argv[1:])
