"""The report of an audit, or of its plan: its files, page, description and tags."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.questions import audit_tables
from analysis.questions.audit_answer import answer
from analysis.questions.audit_people import people_section
from analysis.questions.audit_plan import plan_section
from analysis.questions.audit_sentences import reason, way_out
from analysis.questions.audit_shares import shares_section
from analysis.questions.report_made import CITE
from analysis.questions.root_metrics import audit_metrics
from analysis.render.page import page
from analysis.render.section import Section, as_markdown, files, terminal, wrapped
from analysis.store.artifacts import broken
from analysis.store.audits import AUDIT_FILE, read_audit
from analysis.store.publish import log_report
from analysis.store.root_summary import note
from project.config.next_command import command_line
from project.config.results import VerdictConfig
from project.support.escape import escape_markdown
from project.tracking import VERDICT, VERDICT_REASON, Record, latest_root, read_run


def is_plan(result: Mapping[str, Any]) -> bool:
    """Whether the result is the plan of an audit that is still to be made."""
    return result.get("kind") == "plan"


def sections(result: Mapping[str, Any]) -> list[Section]:
    """The parts of the report; those for which the audit has no numbers are left out."""
    if is_plan(result):
        return [plan_section(result)]
    parts = (
        audit_tables.scores_section(result),
        shares_section(result),
        audit_tables.errors_section(result),
        people_section(result),
        audit_tables.next_section(result),
    )
    return [part for part in parts if part]


def publish(run_id: str, workspace: str) -> None:
    """Write, log and print the report; see :func:`analysis.questions.audit.publish_report`."""
    root = read_run(run_id) if run_id else latest_root("audit")
    result = read_audit(root)
    try:
        parts = sections(result)
    except (KeyError, TypeError) as error:
        fault = f"lacks what a report shows ({type(error).__name__}: {error})"
        raise broken(root, AUDIT_FILE, fault) from None
    word = "plan" if is_plan(result) else str(result["verdict"])
    sentence = parts[0].answer or f"{reason(result)} {way_out(result)}".strip()
    written = {name: data for part in parts for name, data in files(part).items()}
    written[AUDIT_FILE] = json.dumps(result, indent=1, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
    written["report.html"] = _page(root, result, parts, sentence).encode()
    description = f"**{word.capitalize()}.** {escape_markdown(sentence)}\n\n{as_markdown(parts[0])}"
    main = audit_metrics(result)
    # An audit asks for no agreement.
    limits = VerdictConfig(tolerance=100 * result.get("tolerance", 0.0), min_alpha=0.0)
    location = log_report(
        root.run_id,
        workspace,
        written,
        description,
        metrics={},
        main=main,
        note=note(word, sentence, main, limits, as_markdown(parts[0])),
        tags={} if is_plan(result) else {VERDICT: word, VERDICT_REASON: sentence[:1000]},
    )
    print("\n\n".join(terminal(part) for part in parts[:3]))
    if not is_plan(result):
        print(f"\n{wrapped(f'{word.upper()}. {sentence}')}")
    print(location)
    opened = location.partition("report   ")[2].splitlines()[0]
    # The last line is the path alone, for scripts.
    print(f"\n{opened.removesuffix('report.html')}{AUDIT_FILE}")


def _page(root: Record, result: Mapping[str, Any], parts: Sequence[Section], sentence: str) -> str:
    """The page of the report, as HTML."""
    facts = {
        "run": root.run_id,
        "annotator": str(result.get("annotator", "")),
        "classifier": str(result.get("classifier_name", "")),
        "pool": f"{result['n_pool']} texts, {result['n_audit']} of them labelled by people",
        "how these were drawn": str(result.get("audit_design", "")),
        "classes": ", ".join(result.get("label_set", ())),
    }
    return page(
        root.name,
        [f"{result['n_audit']} of {result['n_pool']} texts labelled by people"],
        answer=None if is_plan(result) else answer(root, result, sentence),
        sections=parts,
        facts=facts,
        cite=CITE,
        remake=command_line("rerun", {"run_id": root.run_id}),
    )
