"""How an experiment's table looks: in the terminal, as a figure, as a page, as a run's description. Numbers come in, text goes out."""

from __future__ import annotations

import base64
import html
import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import pandas as pd

from analysis.paper import CITATION
from analysis.store import SPENT, absent_note
from project.tracking import Record

SPENDING_NOTE = (
    "Of the training labels of an arm, whoever paid for them and when: labels by a human, requests to the LLM, the tokens of all requests, seconds "
    "of annotation; seconds of one training, mean over the seeds; cost at the prices given, of the labels and one training."
)
_REPLICATES = {
    "training": ("seeds", "seed", ""),
    "pipeline": (
        "replicates", "replicate",
        " Replicate r of llm and entropy has demonstrations and labels of its own, draw r, and seed r; the other arms have one label file, "
        "and their replicates differ in the seed alone.",
    ),
    "crossed": (
        "replicates", "replicate", " The replicates of llm are all draws with all seeds; those of the other arms differ in the seed alone.",
    ),
}  # fmt: skip


_INTERVALS = "In brackets 95 % intervals over the test examples, the replicates taken as they are: a bootstrap for alpha_K, Wilson's for unchanged. "


def replicate_of(config: Mapping[str, Any]) -> str:
    """What the replicates of an experiment differ in."""
    return str(config["config"].get("replicate", {}).get("replicate", "training"))


def _caption(config: Mapping[str, Any]) -> str:
    many, one, more = _REPLICATES[replicate_of(config)]
    return (
        f"Test split; all numbers x 100. Mean and, behind it, sample standard deviation (ddof 1) over the {many}; macro-F1 over the whole label set. "
        f"alpha_K: Krippendorff's alpha (nominal) with the {many} as raters. unchanged: examples that every {one} labels alike. "
        f"human: training labels a human gave.{more} "
    )


def number(value: Any, digits: int = 1) -> str:
    """``value`` to so many digits, ``-`` where there is none."""
    return "-" if value is None or (isinstance(value, float) and math.isnan(value)) else f"{value:.{digits}f}"


def pair(row: Mapping[str, Any], name: str) -> str:
    """Mean ± standard deviation of the column ``name``."""
    mean, sd = number(row[name]), number(row.get(f"{name}_sd"))
    return mean if sd == "-" else f"{mean} ±{sd}"


def _human(row: Mapping[str, Any]) -> str:
    return "-" if math.isnan(row["human_labels"]) else f"{int(row['human_labels'])} ({number(row['human_share'], 0)} %)"


def _agreement(row: Mapping[str, Any], name: str, *, intervals: bool) -> str:
    low, high = number(row.get(f"{name}_low")), number(row.get(f"{name}_high"))
    return number(row[name]) if not intervals or low == "-" else f"{number(row[name])} [{low}, {high}]"


def spending_cells(shown: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Head and rows of what every arm has taken."""
    head = ["labels", "human labels", "LLM calls", "prompt tokens", "generated", "s to annotate", "s to train", "cost"]
    digits = (0, 0, 0, 0, 0, 1, 4)
    return head, [
        [str(row["labels"]), *(number(row[name], n) for name, n in zip(("human_labels", *SPENT), digits, strict=True))]
        for row in shown[shown["kind"] == "arm"].to_dict("records")
    ]  # fmt: skip


def _cells(shown: pd.DataFrame, *, intervals: bool = False) -> tuple[list[str], list[list[str]]]:
    head = ["labels", "n", "human", "accuracy", "macro-F1", "alpha_K", "unchanged"]
    rows = [
        [str(row["labels"]), number(row["n"], 0), _human(row), pair(row, "accuracy"), pair(row, "macro_f1"),
         *(_agreement(row, name, intervals=intervals) for name in ("krippendorff_alpha", "unchanged"))]
        for row in shown.to_dict("records")
    ]  # fmt: skip
    return head, rows


def title(config: Mapping[str, Any]) -> str:
    """Task, annotator, classifier, seeds."""
    task, stages = config["task"], config["config"]
    models = config["models"]
    who = f"labels by {models['annotator']}, " if models["annotator"] else ""
    how = "" if replicate_of(config) == "training" else f", replicate={replicate_of(config)}"
    return f"{task['name']}: {who}classifier {models['encoder']}, {stages['finetune']['seeds']} seeds{how}"


def summary(shown: pd.DataFrame) -> str:
    """One sentence on what the LLM's labels cost, from the table's own numbers; empty where an arm is missing."""
    ours = shown[shown["kind"] == "arm"].set_index("labels")
    if not {"gold", "llm"} <= set(ours.index):
        return ""
    gold, llm = ours.loc["gold"], ours.loc["llm"]
    parts = [f"{_change(gold[name], llm[name])} {words}" for name, words in (("accuracy", "accuracy"), ("macro_f1", "macro-F1"))]
    sentence = f"Against gold labels, training on the LLM's labels changes the mean by {' and '.join(parts)} points"
    if math.isnan(llm["unchanged"]):
        return f"{sentence}."
    return f"{sentence}, and the share of test examples that all seeds label alike from {number(gold['unchanged'])} to {number(llm['unchanged'])} %."


def _change(before: float, after: float) -> str:
    return f"{after - before:+.1f}".replace("-", "\N{MINUS SIGN}")


def _footnote(config: Mapping[str, Any], shown: pd.DataFrame, incomplete: Sequence[str]) -> str:
    stages, counts = config["config"], config["task"]["counts"]
    shots, draws = stages["prompt"]["n_demonstrations"], stages["prompt"]["ensemble_size"]
    also = []
    recorded = stages["annotate"].get("annotator") == "recorded"
    if config["models"]["annotator"] and shots and not recorded:
        also.append(f"{shots} demonstrations in every draw (1 draw; {draws} for the ensemble)")
    if stages["finetune"]["validation_labels"] == "gold":
        also.append(f"the {counts['validation']} validation labels that pick the best epoch of every arm")
    else:
        also.append("the gold labels that repair an arm's validation labels")
    note = f"Human-labelled and not counted there: {', and '.join(also)}."
    if recorded:
        note += " Whatever human labels the recorded ones were made with is not known here."
    if (shown["kind"] == "paper").any():
        note += " The paper's numbers for entropy stand under every share, since it does not say which share they are for."
    absent = shown[shown["kind"] == "arm"].set_index("labels")["absent"]
    note += absent_note(config, {str(name): str(classes) for name, classes in absent.items()})
    return note + (f" INCOMPLETE: {', '.join(incomplete)}." if incomplete else "")


def terminal_table(config: Mapping[str, Any], shown: pd.DataFrame, incomplete: Sequence[str]) -> str:
    """The result table as plain text."""
    return plain(title(config), *_cells(shown), [summary(shown), _caption(config) + _footnote(config, shown, incomplete)])


def plain(heading: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """A table as plain text: the first column to the left, the others to the right; notes, where they say something, wrapped below it."""
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, rest = cells[0].ljust(widths[0]), [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "  ".join([first, *rest]).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    wrapped = ["\n".join(textwrap.wrap(text, max(len(rule), 70))) for text in notes if text]
    return "\n".join([heading, rule, line(head), rule, *map(line, rows), rule, *wrapped])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def describe(config: Mapping[str, Any], shown: pd.DataFrame, incomplete: Sequence[str], variance: str = "") -> str:
    """The run description, Markdown; ``variance``: a table as plain text to go with it."""
    more = f"\n\n```\n{variance}\n```" if variance else ""
    return f"**{title(config)}**\n\n{summary(shown)}\n\n{markdown(*_cells(shown))}{more}\n\n{_caption(config)}{_footnote(config, shown, incomplete)}"


def png_figure(arms: pd.DataFrame) -> bytes:
    """Every seed's accuracy and macro-F1 for each arm, and the seeds' agreement; readable without colour."""
    figure = matplotlib.figure.Figure(figsize=(8.6, 0.9 + 0.55 * len(arms)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(arms))
    for name, mark, shift, colour in (("accuracy", "o", -0.13, "#1f5a99"), ("macro_f1", "D", 0.13, "#b5530f")):
        for place, row in zip(places, arms.to_dict("records"), strict=True):
            values = [100 * value for value in row[f"{name}_by_seed"]]
            left.plot(values, [place + shift] * len(values), mark, color=colour, alpha=0.45, markersize=4, linestyle="none")
            left.plot([100 * row[name]] * 2, [place + shift - 0.11, place + shift + 0.11], color=colour, linewidth=2.5)
        left.plot([], [], mark, color=colour, label=name.replace("macro_f1", "macro-F1"))
    for name, mark, colour in (("krippendorff_alpha", "s", "#333333"), ("unchanged", "^", "#7a3b8f")):
        right.plot(100 * arms[name], places, mark, color=colour, markersize=7, label=name.replace("krippendorff_alpha", "Krippendorff's alpha"))
    labels = [f"{row['arm']}\n{row['human_labels']} human" for row in arms.to_dict("records")]
    left.set_yticks(list(places), labels)
    left.invert_yaxis()
    left.set_xlabel("score x 100 (dots: seeds, bar: mean)")
    right.set_xlabel("agreement of the seeds x 100")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.9 / (1 + len(arms))), ncols=2, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=150, metadata={"Software": None})
    return buffer.getvalue()


_STYLE = """
:root{color-scheme:light dark;--rule:#8886;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;margin:1rem 0}
th,td{padding:.35rem .6rem;text-align:right;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{text-align:left;white-space:pre}
tr.paper td{font-style:italic;opacity:.75}tr.annotator td{background:var(--soft)}
.wide{overflow-x:auto}
figure{margin:1.5rem 0}img{max-width:100%;background:#fff}figcaption,.note{font-size:.9rem;opacity:.85}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.9rem}dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}
.bad{border-left:4px solid #c00;padding-left:.8rem}
"""


def html_page(root: Record, config: Mapping[str, Any], shown: pd.DataFrame, figure: bytes, incomplete: Sequence[str], variance: str = "") -> str:
    """One self-contained page: no network, no script; every text from the store is escaped."""
    head, rows = _cells(shown, intervals=True)
    recalls = [column for column in shown.columns if column.startswith("recall.")]
    ours = shown[shown["kind"] != "paper"]
    recall_rows = [[str(row["labels"]), *(number(row[column]) for column in recalls)] for row in ours.to_dict("records")]
    warning = (
        f'<p class="bad"><b>Incomplete:</b> {html.escape(", ".join(incomplete))}. Run the same command again to finish.</p>' if incomplete else ""
    )
    paper = f"<p class='note'>Rows in italics: {html.escape(CITATION)}; RoBERTa-base.</p>" if (shown["kind"] == "paper").any() else ""
    parts = f"<pre>{html.escape(variance)}</pre>" if variance else ""
    task = config["task"]
    facts = {"run": root.run_id, "source": task["source"], "examples": ", ".join(f"{key} {n}" for key, n in task["counts"].items())}
    annotator = config["identities"]["annotator"]
    facts |= {"annotator": ", ".join(f"{key}={value}" for key, value in annotator.items()) or "none", "encoder": config["identities"]["encoder"]}
    facts |= {"versions": ", ".join(f"{name} {version}" for name, version in config["versions"].items())}
    facts |= {"content (sha256)": task["examples_sha256"], "licence": task["licence"], "citation": task["citation"]}
    for stage, values in ((stage, values) for stage, values in config["config"].items() if stage != "host"):
        facts[stage] = ", ".join(f"{key}={value}" for key, value in values.items() if value not in ("", None))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{html.escape(title(config))}</title><style>{_STYLE}</style></head><body>
<h1>How much gold is in these labels?</h1>
<p>{html.escape(task["title"])}<br>{html.escape(title(config))}</p>{warning}
<p><b>{html.escape(summary(shown))}</b></p>
{_html_table(head, rows, list(shown["kind"]))}
<p class="note">{html.escape(_caption(config) + _INTERVALS + _footnote(config, shown, []))}</p>{paper}{parts}
<figure><img alt="Scores and agreement of the seeds for each source of labels" src="data:image/png;base64,{base64.b64encode(figure).decode()}">
<figcaption>Every dot is one seed. The further the dots of an arm lie apart, the less a single training run can be trusted.</figcaption></figure>
<h2>Recall of each class</h2>
{_html_table(["labels", *(name.removeprefix("recall.") for name in recalls)], recall_rows, list(ours["kind"]))}
<h2>What it took</h2>
{_html_table(*spending_cells(shown), ["arm"] * int((shown["kind"] == "arm").sum()))}
<p class="note">{html.escape(SPENDING_NOTE)}</p>
<h2>How it was made</h2>
<dl>{"".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(str(value))}</dd>" for key, value in facts.items())}</dl>
</body></html>
"""


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]], kinds: Sequence[str]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        f'<tr class="{html.escape(kind)}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row, kind in zip(rows, kinds, strict=True)
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
