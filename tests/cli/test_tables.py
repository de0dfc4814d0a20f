"""Tables of what is known without weights."""

from typer.testing import CliRunner

from srd_jax.attribution import METHODS
from srd_jax.cli import app


def test_every_method_is_listed_with_its_options():
    result = CliRunner().invoke(app, ["methods"])
    assert result.exit_code == 0
    for name in METHODS:
        assert name in result.output
    assert "gradient's" in result.output
    assert "baseline" in result.output
    assert "ReLUs" in result.output
