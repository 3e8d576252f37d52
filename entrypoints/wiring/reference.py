"""Reference pages of the documentation, generated from the code.

python -m entrypoints.wiring.reference            write docs/reference/
python -m entrypoints.wiring.reference --check    exit with 1 if a page is out of date
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from project.config import logged_names
from project.config.entry_points import ENTRY_POINTS
from project.config.fields import (
    ConfigSection,
    kind_of,
    parameters,
    rule_of,
    section_name,
    written,
)
from project.config.logged_names import LoggedName
from project.config.metrics import METRICS

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
_NOTE = "*This page is generated from the code: `make reference`.*"


def pages() -> dict[str, str]:
    """File name -> content of every reference page."""
    return {"parameters.md": parameter_page(), "logged-names.md": logged_names_page()}


def parameter_page() -> str:
    """All entry points and all parameters, by section."""
    parts = [
        "# Parameters",
        _NOTE,
        "Write `-P name=value` with `mlflow run`, `--name value` with `python -m`, or "
        "`name: value` in a [configuration file](../configuration.md). Lists are written with "
        "commas. `auto` means: chosen by the task card, the paper or the machine, as the help "
        "says. Parameters in **bold** are the everyday ones, which `MLproject` declares.",
        "## Entry points",
        _table(
            ("entry point", "does", "sections"),
            [
                (f"`{entry.name}`", entry.summary, ", ".join(_section_links(entry.all_sections)))
                for entry in ENTRY_POINTS.values()
            ],
        ),
    ]
    for cls, names in _sections():
        title = cls.__name__.removesuffix("Config")
        heading = f"## {title}"
        used = ", ".join(f"`{name}`" for name in names)
        summary = " ".join((cls.__doc__ or "").split())
        rows = [_parameter_row(cls, item.name) for item in parameters(cls)]
        parts += [
            heading,
            f"{summary}\n\nSection `{section_name(cls)}` of a configuration file; entry points: "
            f"{used}.",
            _table(("parameter", "type", "default", "meaning"), rows),
        ]
    return "\n\n".join(parts) + "\n"


def _sections() -> list[tuple[type[ConfigSection], list[str]]]:
    """Every section with the names of its entry points."""
    users: dict[type[ConfigSection], list[str]] = {}
    for entry in ENTRY_POINTS.values():
        for cls in entry.all_sections:
            users.setdefault(cls, []).append(entry.name)
    return list(users.items())


def _section_links(sections: Iterable[type[ConfigSection]]) -> list[str]:
    titles = [cls.__name__.removesuffix("Config") for cls in sections]
    return [f"[{title}](#{title.lower()})" for title in titles]


def _parameter_row(cls: type[ConfigSection], name: str) -> tuple[str, str, str, str]:
    item = next(field for field in parameters(cls) if field.name == name)
    rule = rule_of(item)
    text = rule.help
    bounds = [
        f"{words} {bound:g}"
        for words, bound in (("at least", rule.ge), ("at most", rule.le), ("above", rule.gt))
        if bound is not None
    ]
    if bounds:
        text += f" ({', '.join(bounds)})"
    choices = rule.allowed()
    if choices and not all(choice in text for choice in choices):
        text += f". One of: {', '.join(choices)}"
    if rule.aliases:
        text += f". Also called {', '.join(f'`{alias}`' for alias in rule.aliases)}"
    shown = f"**`{name}`**" if rule.everyday else f"`{name}`"
    default = written(item.default)
    return shown, kind_of(cls, name), f"`{default}`" if default else "empty", f"{text}."


_MAIN = "Main numbers of root runs"
_NOTES = {
    _MAIN: (
        "Only what is known is there: without a price there is no `cost`, and too few texts give "
        "no `loss`. Four decimals; 0.275 is what reports print as 27.5 points. Loss and alpha are "
        "those of the LLM's labels alone; a positive loss means that something is lost. Its limits "
        "are those of the verdict (95 %; 90 % in an audit). The LLM is scored on the test texts "
        "under its first draw, by an audit on the pool. `human_labels` and `cost` are those of the "
        "remedy that the verdict calls safe, else of the LLM's labels; validation labels and "
        "demonstrations are counted, and in an audit the audited texts. `-e finetune` has the "
        "numbers of its only arm. In runs of older versions, without the tag `assay.metric_names`, "
        "`llm.macro_f1` and `llm.accuracy` are scores of the classifiers of the arm `llm`."
    ),
    "Parameters": (
        "Root runs also have every parameter of their entry point, and seeds every "
        "hyper-parameter: see [Parameters](parameters.md)."
    ),
}


def logged_names_page() -> str:
    """Kinds of runs, tags, parameters, metrics and artifacts in the tracking store."""
    parts = [
        "# Logged names",
        _NOTE,
        "What stands in the tracking store, for filters, charts and your own queries. A *root* "
        "run is one experiment; *child* runs below it are draws of annotations, seeds and "
        "trials.",
    ]
    tables = {
        "Kinds of runs (tag `assay.kind`)": logged_names.KINDS,
        "Tags": logged_names.TAGS,
        "Parameters": logged_names.PARAMS,
        _MAIN: logged_names.ROOT_METRICS,
        "Metrics by evaluation": logged_names.EVALUATION_METRICS,
        "Other metrics": logged_names.OTHER_METRICS[len(logged_names.ROOT_METRICS) :],
        "Artifacts": logged_names.ARTIFACTS,
    }
    for title, names in tables.items():
        parts += [f"## {title}", _name_table(names)]
        if title in _NOTES:
            parts.append(_NOTES[title])
    parts += [
        "## Metrics",
        "Seeds log scores under the name of the predicted split, such as `test.macro_f1` or "
        "`validation.accuracy`; annotation runs log them under the bare name. `recall.<label>` "
        "stands for the recall of each class. On a root run the metrics of an arm begin with "
        "`arm.` and its name, such as `arm.llm.macro_f1`.",
        _table(
            ("metric", "level", "title in tables", "meaning"),
            [
                (f"`{metric.key}`", metric.level, metric.title, metric.description)
                for metric in METRICS.values()
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _name_table(names: Sequence[LoggedName]) -> str:
    rows = [(f"`{name.name}`", name.kinds, name.meaning) for name in names]
    return _table(("name", "runs", "meaning"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines
    )


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or compare them with ``--check``; the exit code."""
    outdated = []
    for name, content in pages().items():
        path = FOLDER / name
        if "--check" in arguments:
            if not path.is_file() or path.read_text(encoding="utf-8") != content:
                outdated.append(name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    if outdated:
        print(f"out of date: {', '.join(outdated)}. Run make reference.", file=sys.stderr)
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
