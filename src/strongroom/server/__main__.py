"""`python -m strongroom.server CONFIG.json`: run a server from a configuration file."""

from __future__ import annotations

import sys
from pathlib import Path

from strongroom.errors import StrongroomError
from strongroom.server.config import read_config
from strongroom.server.serve import serve


def main(arguments: list[str]) -> int:
    """Run the server; the exit status is the error's, or 0 after a drain."""
    if len(arguments) != 1:
        print("usage: python -m strongroom.server CONFIG.json", file=sys.stderr)
        return 2
    try:
        serve(read_config(Path(arguments[0])))
    except StrongroomError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
