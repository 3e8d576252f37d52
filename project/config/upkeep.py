"""Parameters of the entry points that read or repair the tracking store and compute nothing new."""

from __future__ import annotations

from project.config.fields import ConfigSection, parameter, section
from project.config.results import REUSE, check_workspace


@section
class InvocationConfig(ConfigSection):
    """Where parameters come from; every entry point has this section."""

    config: str = parameter(
        default="",
        help="file with parameters: YAML or JSON, or runs:/RUN_ID/config.json of an earlier run; "
        "the command line has precedence over it",
        everyday=True,
    )
    show_config: bool = parameter(
        default=False, help="print the effective configuration as YAML, and stop", everyday=True
    )


@section
class ReportConfig(ConfigSection):
    """Which experiment the entry point ``report`` shows."""

    run_id: str = parameter(
        default="",
        help="root run of an experiment, a budget, a curve, a grid, a sweep or an audit; several "
        "experiments, comma-separated, for one page on all of them; empty: the newest finished "
        "experiment",
        everyday=True,
    )
    workspace: str = parameter(
        default="outputs",
        help="folder in which the report is written",
        check=check_workspace,
        everyday=True,
    )
    tolerance: float | None = parameter(
        default=None,
        help="largest loss of macro-F1 against gold labels that is safe, in points (x 100); auto: "
        "the experiment's own",
        ge=0,
        le=100,
        everyday=True,
    )
    min_alpha: float | None = parameter(
        default=None,
        help="smallest agreement of the seeds that is safe: Krippendorff's alpha; auto: the "
        "experiment's own",
        ge=-1,
        le=1,
        everyday=True,
        aliases=("least_alpha",),
    )


@section
class HitsConfig(ConfigSection):
    """Where the record of the store's audits is written."""

    workspace: str = parameter(
        default="outputs",
        help="folder in which the tables are written",
        check=check_workspace,
        everyday=True,
    )


@section
class RelogConfig(ConfigSection):
    """Where the results lie that a tracking store did not accept."""

    workspace: str = parameter(
        default="outputs",
        help="workspace of the experiments",
        check=check_workspace,
        everyday=True,
    )


@section
class ReapConfig(ConfigSection):
    """Which runs the entry point ``reap`` ends."""

    run_id: str = parameter(
        default="", help="one root run; empty: all whose process is gone", everyday=True
    )
    owner: str = parameter(
        default="mine",
        help="whose runs to end: mine, or any",
        choices=("mine", "any"),
        everyday=True,
        aliases=("whose",),
        value_aliases={"anybody": "any"},
    )
    dry_run: bool = parameter(default=False, help="list the runs and end none", everyday=True)


@section
class RerunConfig(ConfigSection):
    """Which run the entry point ``rerun`` runs again."""

    run_id: str = parameter(
        default="",
        help="root run to run again with the same parameters, as a new run",
        everyday=True,
    )
    workspace: str = parameter(
        default="outputs",
        help="folder for what is computed; the run's own folder holds everything already",
        everyday=True,
    )
    reuse: str | None = parameter(
        default=None,
        help="finished annotations and seeds that are taken from the store: none, mine or team; "
        "auto: the run's own value",
        choices=REUSE,
        everyday=True,
    )
    trust: bool = parameter(
        default=False,
        help="allow the run to send my key to the server that it names, to run its remote_code, "
        "and to write into its sweep_storage",
        everyday=True,
    )
