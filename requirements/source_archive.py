"""Fetches a package's source archive and runs none of it: NAME VERSION FILE.

`pip download` would run setup.py for the name and the dependencies. This asks the index that pip is
set to, with pip's own session, and stops at the file; the caller compares its SHA-256.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from pip._internal.commands.download import DownloadCommand


def main(name: str, version: str, target: str) -> int:
    command = DownloadCommand("download", "")
    options, _ = command.parse_args(["--quiet", "--no-input", "--no-binary", ":all:", name])
    with command.main_context():
        session = command._build_session(options)
        finder = command._build_package_finder(options, session)
        links = [
            found.link
            for found in finder.find_all_candidates(name)
            if str(found.version) == version and found.link.filename.endswith(".tar.gz")
        ]
        if not links:
            print(f"The package index has no source archive of {name} {version}.", file=sys.stderr)
            return 1
        # Packed already: nobody may unpack it on its way.
        headers = {"Accept-Encoding": "identity"}
        answer = session.get(links[0].url_without_fragment, stream=True, headers=headers)
        answer.raise_for_status()
        with Path(target).open("wb") as file:
            shutil.copyfileobj(answer.raw, file, 2**20)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
