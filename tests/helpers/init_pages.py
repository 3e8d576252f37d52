"""What the entry point ``init`` prints: commands that a test can run, and what a file supports."""

import shlex

from entrypoints import annotate, ask, audit, main, suite
from entrypoints.wiring.command import chosen_parameters
from project.config.entry_points import ENTRY_POINTS

RUN = {
    "annotate": annotate.annotate,
    "ask": ask.ask,
    "audit": audit.audit,
    "main": main.experiment,
    "suite": suite.suite,
}


def commands(printed):
    """The printed commands by entry point: the words behind ``mlflow run .``."""
    text = printed.replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("mlflow run ")]
    found = {}
    for line in lines:
        words = shlex.split(line)
        assert words[:5] == ["mlflow", "run", ".", "--env-manager", "local"]
        entry = words[words.index("-e") + 1] if "-e" in words else "main"
        found[entry] = [word for word in words[5:] if word not in ("-e", entry, "-P")]
    return found


def start(entry, settings, **changes):
    """Run an entry point with settings such as ``config=run.yaml``, as ``mlflow run`` does."""
    words = [word for setting in settings for word in (f"--{setting}",)]
    params = chosen_parameters(ENTRY_POINTS[entry], words).texts
    RUN[entry]({**params, **changes})


def support(printed, entry):
    """What is said of an entry point, on one line."""
    part = printed.partition("What it supports")[2].partition("Written")[0]
    lines = part.strip("\n").splitlines()
    first = next(i for i, line in enumerate(lines) if line.split()[:1] == [entry])
    text = [lines[first]]
    for line in lines[first + 1 :]:
        if line[2:3] != " ":
            break
        text.append(line)
    return " ".join(" ".join(text).split())
