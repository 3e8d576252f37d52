"""The page of a taxonomy: its parts, its files, the next commands, and its main numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.questions.taxonomy_fit import (
    Fit,
    examples_section,
    fit_of,
    labels_section,
    overlap_section,
)
from analysis.questions.taxonomy_stability import (
    Agreed,
    agreement_of,
    stability_section,
    steps_section,
)
from analysis.render.page import page
from analysis.render.section import Section, Table, as_markdown, files, terminal
from analysis.store.publish import log_report
from analysis.store.root_summary import known, note
from analysis.store.taxonomies import LABELS, StoredTaxonomy, folder_of, read_taxonomy
from project.config.next_command import FILE, command_line, shared_parameters
from project.config.taxonomy import TaxonomyConfig

_CITE = (
    "Wan et al. (2024), TnT-LLM: Text Mining at Scale with Large Language Models, arXiv:2403.12173",
)
_N_ASKED = 250
_OF_THE_TEXTS = (
    "text_column",
    "id_column",
    "where",
    "duplicates",
    "max_train",
    "split_seed",
    "private",
    "workspace",
)
"""Parameters that say which texts there are, and who may see them."""


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the page of a taxonomy, write it, log it to the root run and print its tables.

    Parameters
    ----------
    run_id
        The root run; empty for the newest taxonomy.
    workspace
        The files go to ``reports/<run id>`` below it.
    """
    stored = read_taxonomy(run_id)
    fit = fit_of(stored)
    agreed = agreement_of(stored)
    parts = sections(stored, fit, agreed)
    written = {name: data for part in parts for name, data in files(part).items()}
    written["report.html"] = _page(stored, parts).encode()
    main = _metrics(fit, agreed)
    short = "\n\n".join(as_markdown(part) for part in parts[:2])
    location = log_report(
        stored.root.run_id,
        workspace,
        written,
        "\n\n".join(as_markdown(part) for part in parts),
        metrics={},
        main=main,
        note=note("", parts[0].answer, main, None, short),
    )
    for part in parts:
        if part.name not in ("taxonomy_examples", "taxonomy_next", "taxonomy_steps"):
            print(f"{terminal(part)}\n")
    for when, command in _next_commands(stored).items():
        print(f"{when[0].upper()}{when[1:]}:\n{command}\n")
    print(f"taxonomy {_folder(stored).resolve()}{location}")


def sections(stored: StoredTaxonomy, fit: Fit, agreed: Agreed | None) -> list[Section]:
    """The parts of the page; those without an answer here are left out."""
    edit = stored.facts["edit"]
    parts = [
        _edit_section(edit) if edit else None,
        labels_section(stored, fit, agreed.back if agreed else None),
        stability_section(stored, agreed) if agreed else None,
        overlap_section(stored, fit),
        examples_section(stored),
        _next_section(stored),
        None if edit else steps_section(stored),
    ]
    return [part for part in parts if part]


def _metrics(fit: Fit, agreed: Agreed | None) -> Mapping[str, float]:
    """The main numbers of the root run."""
    values: dict[str, float | None] = {
        "taxonomy.n_labels": len(fit.counts) - 1,
        "taxonomy.coverage": fit.coverage,
        "taxonomy.overlap": fit.overlap,
        "taxonomy.effective_labels": fit.balance,
    }
    if agreed:
        found = agreed.found
        values |= {
            "taxonomy.alpha": found.alpha.estimate,
            "taxonomy.alpha_low": found.alpha.low,
            "taxonomy.alpha_high": found.alpha.high,
            "taxonomy.alpha_chance": found.chance,
        }
    return known(values)


def _edit_section(edit: Mapping[str, object]) -> Section:
    """What people edited, and how many texts were labelled again."""
    rows = [
        [kind, str(before), str(after)]
        for kind, pairs in (
            ("renamed", list(_pairs(edit["renamed"]))),
            ("dropped", [(name, "") for name in _names(edit["dropped"])]),
            ("added", [("", name) for name in _names(edit["added"])]),
            ("new definition", [(name, name) for name in _names(edit["redefined"])]),
        )
        for before, after in pairs
    ]
    answer = f"{edit['n_asked']} texts were labelled again; the others keep their labels."
    table = Table(
        "taxonomy_edit",
        "What changed",
        ["change", "before", "after"],
        rows or [["nothing", "", ""]],
        frame=pd.DataFrame(rows, columns=["change", "before", "after"]),
        notes=["Several labels with one new name were merged."],
    )
    return Section("taxonomy_edit", "What did the edit do?", answer, [table])


def _pairs(value: object) -> Sequence[tuple[str, str]]:
    return list(value.items()) if isinstance(value, dict) else []


def _names(value: object) -> Sequence[str]:
    return value if isinstance(value, list) else []


def _folder(stored: StoredTaxonomy) -> Path:
    """Where the run wrote its files; the page may be made again in another workspace."""
    return folder_of(stored.root.params["workspace"], stored.root.run_id)


def _next_commands(stored: StoredTaxonomy) -> dict[str, str]:
    """When to run which command: for an edit, for labels of people, for a verdict on the labels."""
    folder = _folder(stored)
    data = {"data": stored.facts["data"]}
    labels = {
        "task": str(folder / "card.yaml"),
        **data,
        "annotator": "recorded",
        "recorded": str(folder / LABELS),
        "recorded_columns": "llm" if _are_labels(stored) else "label",
    }
    given = shared_parameters(stored.root.params, "taxonomy")
    shared = {name: value for name, value in given.items() if name in _OF_THE_TEXTS}
    not_for_edits = {"dry_run", *(field.name for field in dataclasses.fields(TaxonomyConfig))}
    edit = {name: value for name, value in given.items() if name not in not_for_edits}
    return {
        "after you edited taxonomy.yaml": command_line(
            "taxonomy", {**edit, **data, "taxonomy": str(folder / "taxonomy.yaml")}
        ),
        "people label texts without seeing the LLM's label": command_line(
            "ask",
            {**labels, "design": "audit", "n": str(min(_N_ASKED, len(stored.labels))), **shared},
        ),
        "their labels judge the LLM and a classifier": command_line(
            "audit", {**labels, "human": FILE, "audit_design": "SAMPLING", **shared}
        ),
    }


def _are_labels(stored: StoredTaxonomy) -> bool:
    """Whether the probabilities give every text its label: all known, and no two the highest."""
    probabilities = stored.probabilities
    is_best = probabilities == probabilities.max(axis=1, keepdims=True)
    is_own = np.arange(probabilities.shape[1]) == stored.codes[:, None]
    return bool(np.isfinite(probabilities).all() and (is_best == is_own).all())


def _next_section(stored: StoredTaxonomy) -> Section:
    """The next commands as a table."""
    rows = list(map(list, _next_commands(stored).items()))
    table = Table(
        "taxonomy_next",
        "Next commands",
        ["when", "command"],
        rows,
        frame=pd.DataFrame(rows, columns=["when", "command"]),
        notes=[
            "FILE: what people filled in; SAMPLING: the sampling.parquet that ask writes. Labels "
            "proposed by an LLM are a proposal: whether people sort texts by them as the LLM does, "
            "and as one another, only their own labels tell."
        ],
    )
    return Section("taxonomy_next", "What comes next?", "", [table])


def _page(stored: StoredTaxonomy, parts: Sequence[Section]) -> str:
    """The page, as HTML."""
    facts = stored.facts
    return page(
        stored.root.name,
        [facts["use_case"]],
        answer=None,
        sections=parts,
        facts={
            "run": stored.root.run_id,
            "texts": f"{facts['n_texts']} of {facts['data']}",
            "notes": " ".join(facts["notes"]),
        },
        cite=_CITE,
        remake=command_line("rerun", {"run_id": stored.root.run_id}),
    )
