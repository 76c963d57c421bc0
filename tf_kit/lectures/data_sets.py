"""The data set of a demo whose figure shows images: the large one where it is prepared, the small one elsewhere."""

from __future__ import annotations

import click

OR = " or "


def first_prepared(names: str) -> str:
    """Return the first of some data sets that this machine has; a line is printed if it is not the first of all.

    Args:
        names: one name, or several with " or " between them, such as `"mnist or digits"`. The last one is returned
            if no other is there.

    Example:
        >>> first_prepared("digits")
        'digits'
        >>> first_prepared("spirals or digits")
        'spirals'
    """
    from tf_kit.data import catalogue, prepared

    *wanted, last = names.split(OR)
    for name in wanted:
        if name in catalogue.BUILT_IN or prepared.find(name):
            return name
    if wanted:
        click.echo(
            f"{wanted[0]} is not prepared here, so this uses {last}. `tf-kit data get {wanted[0]}` prepares it."
        )
    return last
