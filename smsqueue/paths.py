"""Where the files are that are edited in the checkout and shipped inside the package."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """Return the folder `name` of the installed package, or of the checkout around it."""
    shipped = PACKAGE / name
    return shipped if shipped.is_dir() else PACKAGE.parent / name
