"""The CDNOW purchases: 69,659 real orders, read from the ``lifetimes`` package's files."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from horizon.errors import HorizonError

MAPPING = "cdnow"
_FILE = "CDNOW_master.txt"


def master_file() -> Path:
    """Where the file lies. The package is not imported: it is installed without what it needs."""
    try:
        files = metadata.files("lifetimes") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == _FILE and (path := Path(str(file.locate()))).is_file():
            return path
    raise HorizonError(
        "The CDNOW purchases are missing: type `pip install --no-deps lifetimes` in Horizon's "
        "virtual environment, or `make` again."
    )
