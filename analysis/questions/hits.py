"""How often were audits right? Their estimates beside what came true, over a whole store.

python -m analysis.questions.hits

Counted are audits whose truth is known: simulated ones (entry point audit with simulate=N), and
those of a task on which an experiment trained on gold labels and on the LLM's labels later.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.store.command import parser, run_command


def publish(workspace: str) -> None:
    """Print the record of the store's audits, and write its tables below ``workspace``."""
    from analysis.questions.hits_tables import record_section
    from analysis.render.section import files, terminal
    from analysis.store.hits import read_record
    from analysis.store.publish import write

    section = record_section(read_record())
    print(terminal(section))
    print(write(Path(workspace) / "reports" / "hits", files(section)))


def _publish(options: argparse.Namespace) -> None:
    publish(options.workspace)


if __name__ == "__main__":
    run_command(parser(__doc__ or "", "not used, all audits count"), _publish)
