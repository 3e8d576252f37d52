"""Look at a file, and propose a task card, parameters and the commands that make sense now.

python -m entrypoints.init reviews.csv
mlflow run . --env-manager local -e init -P data=reviews.csv
python -m entrypoints.init tickets.jsonl --labels complaint,question,praise
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from entrypoints.wiring.arguments import with_named
from entrypoints.wiring.command import main


def init(params: Mapping[str, str]) -> None:
    """Show what a file seems to be, and write a card and parameters; nothing is logged."""
    from entrypoints.wiring.init_run import run_init

    run_init(params)


if __name__ == "__main__":
    sys.argv[1:] = with_named("data", sys.argv[1:])
    main("init", init)
