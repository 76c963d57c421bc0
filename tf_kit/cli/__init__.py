"""The command tf-kit."""

from tf_kit.cli.main import cli, main

__all__ = ["cli", "main"]
