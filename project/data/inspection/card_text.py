"""A proposal as two files with comments: the task card, and the parameters of every command."""

from __future__ import annotations

import re
from collections.abc import Mapping

from project.config.audit import UNKNOWN
from project.config.init import NONE, InitConfig
from project.config.label_type import (
    MAX_ORDERED,
    MIN_ORDERED,
    MULTI,
    ORDINAL,
    USUAL_SEPARATOR,
)
from project.config.loading import on_one_line
from project.data.inspection.label_set import LabelSet
from project.data.inspection.proposal import Proposal
from project.data.one_label import NO, YES
from project.data.preset_splits import USUAL_NAME
from project.support.command_line import options

_PLAIN = re.compile(r"[^\W\d_](?:[\w ./-]*\w)?")
_MAX_SIMILAR = 10  # pairs of classes with nearly equal names
_WORDS_OF_YAML = ("yes", "no", "on", "off", "true", "false", "null", "y", "n", "none", "auto")


def scalar(text: str) -> str:
    """A text as YAML reads it back: without quotation marks where that is safe."""
    is_plain = _PLAIN.fullmatch(text) and text.casefold() not in _WORDS_OF_YAML
    return text if is_plain else on_one_line(text)


def card_text(proposal: Proposal) -> str:
    """The task card."""
    lines = [
        f"# Task card of {proposal.source.path.name}, proposed by init. Correct what is wrong;",
        "# docs/own-data.md explains every key.",
        f"name: {scalar(proposal.name)}",
        *_source(proposal),
        *_columns(proposal),
        "# The LLM reads this above every text. Say what each class means, as to a colleague.",
        f"description: {on_one_line(_description(proposal))}",
        *_labels(proposal),
        *_type(proposal),
        *_values(proposal.labels),
        *_sizes(proposal.sizes),
    ]
    return "\n".join(lines) + "\n"


def _source(proposal: Proposal) -> list[str]:
    lines = [f"source:\n  file: {scalar(proposal.file_name)}"]
    if proposal.header:
        names = ", ".join(map(scalar, proposal.header))
        lines.append(f"  header: [{names}]  # the file has no header")
    return lines


def _columns(proposal: Proposal) -> list[str]:
    roles = proposal.roles
    label = f"{proposal.n_labelled:,} of {proposal.n_texts:,} texts have one"
    lines = ["columns:", f"  text: {scalar(roles.text)}{_others(roles.others['text'])}"]
    if roles.label:
        lines.append(f"  label: {scalar(roles.label)}  # {label}{_or(roles.others['label'])}")
    else:
        lines.append("  label: label  # no column has human labels yet")
    if roles.id:
        lines.append(f"  id: {scalar(roles.id)}{_others(roles.others['id'])}")
    if roles.split and roles.split != USUAL_NAME:
        lines.append(f"  split: {scalar(roles.split)}")
    elif USUAL_NAME in proposal.facts and not roles.split:
        lines.append(f"  split: {NONE}  # its values are not train, validation and test")
    return lines


def _others(names: tuple[str, ...]) -> str:
    return f"  # also possible: {', '.join(map(_in_comment, names))}" if names else ""


def _or(names: tuple[str, ...]) -> str:
    return f"; also possible: {', '.join(map(_in_comment, names))}" if names else ""


def _in_comment(text: str) -> str:
    """A text on the line of a comment."""
    return on_one_line(text)[1:-1]


def _description(proposal: Proposal) -> str:
    names = ", ".join(proposal.labels.labels)
    if proposal.has_several:
        # Prompts ask about all labels at once, and about one of them.
        return f"A text has those of these labels that fit it: {names}."
    return f"Sort the text into one of these classes: {names}."


def _labels(proposal: Proposal) -> list[str]:
    labels = proposal.labels
    lines = []
    if labels.are_numbers:
        lines.append("# Numbers mean nothing to an LLM. Names in their place need 'values' below.")
    lines.append("labels:")
    for label in labels.labels:
        n = labels.counts.get(label, 0)
        comment = (
            f"  # {n:,} human {'label' if n == 1 else 'labels'}" if proposal.n_labelled else ""
        )
        if label in labels.only_llm and proposal.n_labelled:
            comment = "  # from the LLM alone"
        lines.append(f"  - {scalar(label)}{comment}")
    for label, answer in labels.left_out.items():
        has = {YES: "every text has it", NO: "no text has it"}.get(answer, "nothing is known of it")
        lines.append(f"  # - {scalar(label)}  # {has}: put it in once texts differ")
    return lines


def _type(proposal: Proposal) -> list[str]:
    """What the labels are to one another."""
    form = proposal.roles.form
    if form is None:
        return _order(proposal.labels)
    lines = [f"label_type: {MULTI}  # a text may have several, or none: docs/several-labels.md"]
    is_written = not (form.own or form.are_lists)
    if is_written or form.separator != USUAL_SEPARATOR:
        lines.append(f"separator: {on_one_line(form.separator)}  # between the labels of a cell")
    return lines


def _order(labels: LabelSet) -> list[str]:
    """A commented line for whole numbers in a row, which may be the steps of a scale."""
    if not labels.are_numbers or not MIN_ORDERED <= len(labels.labels) <= MAX_ORDERED:
        return []
    first, *_, last = (int(label) for label in labels.labels)
    if last - first != len(labels.labels) - 1:
        return []
    return [
        f"# If {first} to {last} are steps of a scale (stars, degrees), docs/ordinal.md:",
        f"# label_type: {ORDINAL}",
    ]


def _values(labels: LabelSet) -> list[str]:
    lines = []
    if labels.values:
        lines.append("# A value in the data -> the class for which it stands.")
        lines.append("values:")
        lines += [f"  {on_one_line(value)}: {scalar(own)}" for value, own in labels.values.items()]
    similar = labels.similar[:_MAX_SIMILAR]
    examples = [f"  {on_one_line(rare)}: {scalar(frequent)}" for rare, frequent in similar]
    why = "If these are one class, take the first out of labels:"
    if labels.are_numbers and not examples:
        examples = [f"  {on_one_line(number)}: NAME" for number in labels.labels]
        why = "What each number means, once labels has names:"
    if labels.unknown:
        examples = [f"  {on_one_line(value)}: CLASS" for value in labels.unknown]
        why = "Values of the data that are no class:"
    if examples:
        head = [] if labels.values else ["# values:"]
        lines += [f"# {why}", *head, *(f"# {line}" for line in examples)]
    return lines


def _sizes(sizes: Mapping[str, int]) -> list[str]:
    if not sizes:
        return []
    inner = ", ".join(f"{name}: {n}" for name, n in sizes.items())
    return [
        "# With so few labels, the usual sizes leave too few test texts.",
        f"split: {{{inner}}}",
    ]


def run_text(proposal: Proposal, config: InitConfig, *, task: str, data: str = "") -> str:
    """The parameters of every command.

    Parameters
    ----------
    proposal
        What the file seems to be.
    config
        Prices that the user gave.
    task
        Path of the card.
    data
        Path of the data, where they are not beside the card; else empty.
    """
    roles = proposal.roles
    lines = [
        f"# Parameters of the task {_in_comment(proposal.name)}, proposed by init.",
        f"# Every command takes them with {options({'config': 'FILE'})}. What it does not use, it",
        "# names and ignores.",
        "task:",
        f"  task: {scalar(task)}",
    ]
    if data:
        lines.append(f"  data: {scalar(data)}")
    n_left_out = proposal.n_rows - proposal.n_texts + proposal.n_open
    if proposal.roles.label and n_left_out:
        which = "a label or a text" if proposal.has_several else "label or text"
        lines.append(
            f"  bad_rows: drop  # an experiment leaves out {n_left_out:,} rows without {which}"
        )
    lines += _annotator(roles.recorded)
    if roles.label:
        lines += ["pool:", f"  human_column: {scalar(roles.label)}"]
    if proposal.has_several:
        lines += ["suite:", f"  tasks: {scalar(task)}  # every label is a task of a suite"]
    lines.append("audit:")
    if proposal.is_complete:
        lines.append("  audit_design: random  # every text has a label")
    else:
        lines.append(
            f"  audit_design: {UNKNOWN}  # random, if the labelled texts are a random sample"
        )
    if roles.group:
        lines.append(f"  group: {scalar(roles.group)}{_others(roles.others['group'])}")
    prices = {"price_label": config.price_label, "price_input": config.price_input}
    if any(prices.values()):
        lines.append("spend:")
        lines += [f"  {name}: {price:g}" for name, price in prices.items() if price]
    lines += ["# store:", "#   private: true  # keeps texts out of the tracking store"]
    return "\n".join(lines) + "\n"


def _annotator(recorded: tuple[str, ...]) -> list[str]:
    """The lines on what labels the texts."""
    if recorded:
        lines = [
            "annotate:",
            "  annotator: recorded  # an LLM's labels that stand in the file",
            "recorded:",
        ]
        names = on_one_line(",".join(recorded)) if len(recorded) > 1 else scalar(recorded[0])
        several = "  # the first is audited" if len(recorded) > 1 else ""
        return [*lines, f"  recorded_columns: {names}{several}"]
    return [
        "annotate:",
        "  annotator: transformers  # the bundled small LLM, to try everything out",
        "  calibration: batch  # the bundled LLM needs it",
        "  # Your own LLM behind a server, instead of the two lines above:",
        "  # annotator: openai",
        "  # annotator_model: NAME",
        "# server:",
        "#   annotator_url: http://127.0.0.1:8000/v1",
    ]
