"""Would other texts, orders and seeds have led to other labels? How each taxonomy came about."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.render.section import Section, Table, columns
from analysis.render.text import listed, number, ranged
from analysis.store.taxonomies import StoredTaxonomy
from project.stats.partitions import Return, Stability, returns, stability

QUESTION = "Would other texts have given other labels?"
_NO_MATCH = "-"


class Agreed(NamedTuple):
    """Agreement of the taxonomies, and what became of each label of the one that is used."""

    found: Stability
    back: list[Return]


def agreement_of(stored: StoredTaxonomy) -> Agreed | None:
    """How far the taxonomies sort the same texts alike; None for fewer than two of them."""
    codes = stored.assignments
    if len(codes) < 2:
        return None
    sizes = np.array([len(draft["labels"]) + 1 for draft in stored.drafts])
    used = [draft["index"] for draft in stored.drafts].index(stored.facts["chosen"])
    return Agreed(stability(codes, sizes), returns(codes, sizes, used))


def stability_section(stored: StoredTaxonomy, agreed: Agreed) -> Section:
    """Alpha over the taxonomies with its interval and chance, and the labels that come back."""
    found, back = agreed
    drafts = stored.drafts
    used = [draft["index"] for draft in drafts].index(stored.facts["chosen"])
    others = [index for index in range(len(drafts)) if index != used]
    names = [[*(name for name, _ in draft["labels"]), stored.facts["other"]] for draft in drafts]
    head = ["label", *(f"taxonomy {drafts[index]['index']}" for index in others)]
    rows, records = [], []
    for label, each in zip(names[used], back, strict=True):
        cells = [label]
        record: dict[str, object] = {"label": label, "n_back": each.n_back}
        for index in others:
            matched = int(each.matched[index])
            name = names[index][matched] if matched >= 0 else _NO_MATCH
            shared = f" ({100 * each.jaccard[index]:.0f} %)" if matched >= 0 else ""
            cells.append(f"{name}{shared}")
            record |= {
                f"taxonomy_{drafts[index]['index']}": name,
                f"jaccard_{drafts[index]['index']}": each.jaccard[index],
            }
        rows.append(cells)
        records.append(record)
    table = Table(
        "taxonomy_returns",
        "The label of each other taxonomy that has most of the same texts",
        head,
        rows,
        frame=pd.DataFrame(records),
        notes=[
            "In brackets: texts with both labels among those with one of them (Jaccard index). "
            "Labels are matched one to one, so that the most texts agree."
        ],
    )
    return Section(
        "taxonomy_stability",
        QUESTION,
        _answer(stored, agreed, names[used]),
        [table, _summary(stored, found)],
    )


def _answer(stored: StoredTaxonomy, agreed: Agreed, names: list[str]) -> str:
    found, back = agreed
    n_others = len(stored.drafts) - 1
    always = [
        name for name, each in zip(names[:-1], back[:-1], strict=True) if each.n_back == n_others
    ]
    never = [name for name, each in zip(names[:-1], back[:-1], strict=True) if not each.n_back]
    if np.isnan(found.alpha.estimate):
        return "All taxonomies put all texts under one label, so that alpha is not defined."
    sentences = [
        f"{len(stored.drafts)} taxonomies from other samples sort the same "
        f"{stored.assignments.shape[1]} texts alike to an alpha of {ranged(found.alpha, 1, 2)}; "
        f"labels matched by chance reach {found.chance:.2f}."
    ]
    n_failed = len(stored.facts["drafts"]) - len(stored.drafts)
    if n_failed:
        sentences.append(f"{n_failed} more could not be made: the model wrote no list of labels.")
    if always:
        sentences.append(f"These come back in every other one: {listed(always)}.")
    if never:
        sentences.append(f"These come back in none: {listed(never)}.")
    return " ".join(sentences)


def _summary(stored: StoredTaxonomy, found: Stability) -> Table:
    """Alpha, chance and the adjusted Rand index of the pairs, in one table."""
    pairs = found.rand[np.triu_indices(len(found.rand), 1)]
    record = {
        "n_taxonomies": len(stored.drafts),
        "n_texts": stored.assignments.shape[1],
        **columns("alpha", found.alpha),
        "chance": found.chance,
        "adjusted_rand_mean": float(np.nanmean(pairs)) if np.isfinite(pairs).any() else np.nan,
        "adjusted_rand_min": float(np.nanmin(pairs)) if np.isfinite(pairs).any() else np.nan,
    }
    row = [
        str(record["n_taxonomies"]),
        str(record["n_texts"]),
        ranged(found.alpha, 1, 3),
        f"{found.chance:.3f}",
        f"{record['adjusted_rand_mean']:.3f}",
        f"{record['adjusted_rand_min']:.3f}",
    ]
    return Table(
        "taxonomy_stability",
        "Agreement of the taxonomies",
        ["taxonomies", "texts", "alpha", "chance", "adjusted Rand", "least"],
        [row],
        frame=pd.DataFrame([record]),
        notes=[
            "Krippendorff's alpha, nominal, after labels are matched to those of the taxonomy that "
            "agrees most; 95 % bootstrap limits over the texts, for this matching. chance: "
            "the same with shuffled texts. The adjusted Rand index (mean and least over pairs) "
            "needs no matching; 0 is chance. A label that only other taxonomies have counts as a "
            "class of each of them."
        ],
        units=["", "", "[limits]", "alpha", "mean", "of all pairs"],
    )


def steps_section(stored: StoredTaxonomy) -> Section:
    """How many labels each taxonomy had after each step, and which replies could not be read."""
    rows, records = [], []
    for draft in stored.facts["drafts"]:
        if "error" in draft:
            rows.append([str(draft["index"]), draft["error"], "", "", ""])
            records.append({"taxonomy": draft["index"], "error": draft["error"]})
            continue
        for step in draft["steps"]:
            unread = step["n_tries"] - bool(step["is_read"])
            shown = [step["name"], str(step["n_texts"]), str(len(step["labels"]))]
            rows.append([str(draft["index"]), *shown, number(unread, 0)])
            records.append(
                {
                    "taxonomy": draft["index"],
                    "step": step["name"],
                    "n_texts": step["n_texts"],
                    "n_labels": len(step["labels"]),
                    "n_unread": unread,
                    "labels": "; ".join(step["labels"]),
                }
            )
    table = Table(
        "taxonomy_steps",
        "Step by step",
        ["taxonomy", "step", "texts", "labels after it", "replies without a list"],
        rows,
        frame=pd.DataFrame(records),
        folded=True,
    )
    n_cut, n_unfinished = (
        sum(draft.get(name, 0) for draft in stored.facts["drafts"])
        for name in ("n_cut", "n_unfinished")
    )
    sentences = [f"{n_cut} labels beyond max_labels were left out."] if n_cut else []
    if n_unfinished:
        sentences.append(
            f"{n_unfinished} lists of labels broke off, since the model wrote at more length than "
            "it was asked to; labels at their end are missing."
        )
    return Section("taxonomy_steps", "How did the labels come about?", " ".join(sentences), [table])
