"""What ``--help`` prints, made from the sections of the configuration."""

from __future__ import annotations

import textwrap

from project.config.entry_points import EntryPoint
from project.config.fields import ConfigSection, kind_of, parameters, rule_of, written


def help_text(entry: EntryPoint, *, every: bool = False) -> str:
    """What ``--help`` prints: everyday parameters by section, or ``every`` one."""
    lines = [
        f"usage: python -m entrypoints.{entry.name} [--name value ...]",
        f"       mlflow run . -e {entry.name} [-P name=value ...]",
        "",
        entry.summary,
    ]
    for title, cls in zip(_titles(entry), entry.all_sections, strict=True):
        shown = [item for item in parameters(cls) if every or rule_of(item).everyday]
        if not shown:
            continue
        first_line = (cls.__doc__ or "").splitlines()[0]
        lines += ["", f"{title}: {first_line}"]
        for item in shown:
            lines += _option_help(cls, item.name)
    if not every:
        n_more = len(entry.rules()) - len(entry.everyday()) - 2
        lines += ["", f"--help all shows {n_more} more parameters."] if n_more > 0 else []
    return "\n".join(lines)


def _titles(entry: EntryPoint) -> list[str]:
    return [name for name, _ in entry.named_sections()]


def _option_help(cls: type[ConfigSection], name: str) -> list[str]:
    """The lines of one parameter: name, type, default, help, choices, other names."""
    item = next(item for item in parameters(cls) if item.name == name)
    rule = rule_of(item)
    text = rule.help
    choices = rule.allowed()
    if choices and not all(choice in text for choice in choices):
        text += f". One of: {', '.join(choices)}"
    if rule.aliases:
        text += f". Also: {', '.join(rule.aliases)}"
    kind = kind_of(cls, name)
    heading = f"  --{name} [{kind}; default: {written(item.default) or 'empty'}]"
    body = textwrap.wrap(text, 90, break_on_hyphens=False)
    return [heading, *(f"      {line}" for line in body)]
