"""The command line of every question: arguments first, then the store.

Nothing heavy is imported until the arguments are read, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from project.support.allocator import return_large_arrays
from project.support.errors import AssayError
from project.support.escape import escape_terminal
from project.support.output import unread_output
from project.support.redact import scrubbed

if TYPE_CHECKING:
    from analysis.render.section import Section
    from analysis.store.experiment import Experiment
    from project.tracking import Record


def parser(
    description: str, kind: str, default: str = "default: the newest finished one"
) -> argparse.ArgumentParser:
    """The options that every question has.

    Parameters
    ----------
    description
        Docstring of the question's module; the help shows its first line.
    kind
        Kind of the run that ``run_id`` names, with its article: ``an experiment``.
    default
        What the help says about an empty ``run_id``.
    """
    options = argparse.ArgumentParser(description=description.splitlines()[0], allow_abbrev=False)
    options.add_argument("--run_id", default="", help=f"root run, {kind} [text; {default}]")
    options.add_argument(
        "--workspace", default="outputs", help="folder to write below [text; default: outputs]"
    )
    return options


def run_command(
    options: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None = None,
) -> None:
    """Parse the command line and do the work; an AssayError ends in one line and exit code 2.

    Parameters
    ----------
    options
        The options of the command.
    work
        Takes the parsed options; prints its result.
    arguments
        The words of the command line; those of this process by default.
    """
    parsed = options.parse_args(arguments)
    return_large_arrays()
    try:
        with unread_output():
            work(parsed)
    except AssayError as error:
        options.exit(2, f"error: {escape_terminal(scrubbed(str(error)))}\n")


def publish_command(description: str, kind: str, publish: Callable[[str, str], None]) -> None:
    """The command of a question that logs its report to the root run.

    Parameters
    ----------
    description, kind
        See :func:`parser`.
    publish
        Takes the run id and the workspace.
    """
    run_command(
        parser(description, kind), lambda options: publish(options.run_id, options.workspace)
    )


def section_command(
    description: str, section: Callable[[Experiment], Section | None], kind: str = "experiment"
) -> None:
    """The command of a question about one experiment: its section to the terminal and to files.

    Parameters
    ----------
    description
        See :func:`parser`.
    section
        Returns the answer for an experiment; None, if there is no answer, becomes an error.
    kind
        Kind of the root runs of which the newest is taken for an empty run id.
    """

    def work(options: argparse.Namespace) -> None:
        from analysis.store.experiment import read_experiment

        experiment = read_experiment(options.run_id, kind)
        answer = section(experiment)
        if answer is None:
            root = experiment.root
            raise AssayError(
                f"run {root.run_id} ({root.name}) cannot answer: {description.splitlines()[0]}"
            )
        show_section(answer, options.workspace, experiment.root.run_id, [experiment.root])

    article = "an" if kind[0] in "aeiou" else "a"
    run_command(parser(description, f"{article} {kind}"), work)


def show_section(section: Section, workspace: str, folder: str, roots: Sequence[Record]) -> None:
    """Print a section and write its files; the last line names the file to open.

    Parameters
    ----------
    section
        What to show.
    workspace
        The files go to ``reports/<folder>`` below it.
    folder
        A run id, or another name for the runs that the section is about.
    roots
        The root runs that the section is about; a private one makes the files private.
    """
    from analysis.render.section import files, terminal
    from analysis.store.publish import write

    print(terminal(section))
    print(write(Path(workspace) / "reports" / folder, files(section), roots))


def publish_section(
    section: Section,
    root: Record,
    workspace: str,
    metrics: Mapping[int, Mapping[str, float]],
    main: Mapping[str, float],
) -> None:
    """Print a section, write its files and log them to its root run as the run's report.

    Parameters
    ----------
    section
        The report; as Markdown it is the description of the run and the file ``report.md``, as a
        page ``report.html``.
    root
        The run that it is about.
    workspace
        The files go to ``reports/<run id>`` below it.
    metrics
        Numbers to log to the run, by step and name.
    main
        Its main numbers; see :mod:`analysis.questions.root_metrics`.
    """
    from analysis.render.page import page
    from analysis.render.section import as_markdown, files, terminal, text_file
    from analysis.store.publish import log_report
    from analysis.store.root_summary import note
    from project.config.next_command import command_line

    written = files(section)
    del written[text_file(section)]  # report.md holds the same text
    shown = page(
        root.name,
        [table.heading for table in section.tables if table.heading][:1],
        answer=None,
        sections=[section],
        facts={"run": root.run_id},
        remake=command_line("rerun", {"run_id": root.run_id}),
    )
    written["report.html"] = shown.encode()
    below = as_markdown(dataclasses.replace(section, question="", answer=""))
    location = log_report(
        root.run_id,
        workspace,
        written,
        as_markdown(section),
        metrics=metrics,
        main=main,
        note=note("", section.answer, main, None, below),
    )
    print(terminal(section))
    print(location)
