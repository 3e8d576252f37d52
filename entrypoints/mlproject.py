"""Write ``MLproject`` from the stages' dataclasses, so that its parameters and defaults are theirs.

python -m entrypoints.mlproject > MLproject
"""

from __future__ import annotations

from entrypoints import (
    annotate,
    ask,
    budget,
    check,
    curve,
    finetune,
    grid,
    main,
    reap,
    relog,
    report,
    rerun,
    sweep,
)
from entrypoints.wiring.command import fields
from project.config.fields import written

ENTRY_POINTS = {
    "main": main.SECTIONS,
    "annotate": annotate.SECTIONS,
    "finetune": finetune.SECTIONS,
    "curve": curve.SECTIONS,
    "grid": grid.SECTIONS,
    "budget": budget.SECTIONS,
    "ask": ask.SECTIONS,
    "sweep": sweep.SECTIONS,
    "report": report.SECTIONS,
    "relog": relog.SECTIONS,
    "reap": reap.SECTIONS,
    "rerun": rerun.SECTIONS,
    "check": check.SECTIONS,
}


def mlproject() -> str:
    """The text of ``MLproject``. Defaults are quoted: YAML would read 1e-5 as text and 0.50 as a number."""
    lines = [
        "# Made by `python -m entrypoints.mlproject`; change the dataclasses in project/config.py and designs.py instead.",
        "name: assay",
        "",
    ]
    lines += ["conda_env: conda.yaml", "", "entry_points:"]
    for name, stages in ENTRY_POINTS.items():
        items = [pair for stage in stages for pair in fields(stage)]
        lines += [f"  {name}:", "    parameters:"]
        for item, kind in items:
            lines.append(
                f'      {item.name}: {{type: {"float" if kind == "float" else "string"}, default: "{written(item.default)}"}}'
            )
        command = " ".join(f"--{item.name} {{{item.name}}}" for item, _ in items)
        lines += [f'    command: "python -m entrypoints.{name} {command}"', ""]
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    print(mlproject())
