r"""How often is an audit right? Audits of real data whose gold labels are all known.

    ASSAY_DATA=FOLDER python -m benchmarks.audit
    ASSAY_DATA=FOLDER python -m benchmarks.audit --llms 3 --seeds 1     # a quick look
    ASSAY_DATA=FOLDER python -m benchmarks.audit --strata label         # drawn by the LLM's label
    ASSAY_DATA=FOLDER python -m benchmarks.audit --encoder bundled --llms 4 --seeds 1 \
        --data babe_media_bias,imdb --sizes 250 --max_pool 1200 --max_length 64

FOLDER holds Parquet files with ``text``, ``label`` (gold) and ``llm_label__NAME``. Each data set
is split into a pool and test texts. The audit sees the LLM's labels of the pool and gold labels of
some of its texts. The truth is the score on the test texts of classifiers trained on the whole
pool, with the LLM's labels and with gold labels; it has an error of its own, which is shown.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from benchmarks.audit_cells import MAX_POOL, Cell, audits
from benchmarks.audit_data import label_sets
from benchmarks.audit_encoder import encoder_audits
from benchmarks.machine import machine_lines
from entrypoints.wiring.terminal import print_line
from project.audit.verdict import CANNOT_TELL, MIN_OF_CLASS, NOT_SAFE, SAFE
from project.config.finetune import LINEAR, FinetuneConfig
from project.stats.bootstrap import Z95

SIZES = (100, 250, 500, 1000)
TOLERANCES = (0.02, 0.05)


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--llms", type=int, default=40, help="most LLMs of a data set")
    options.add_argument("--seeds", type=int, default=3, help="splits of each data set and LLM")
    options.add_argument("--data", default="", help="names of data sets; empty: all")
    options.add_argument("--sizes", default="", help="sizes of the audit; empty: all")
    options.add_argument(
        "--strata",
        choices=("none", "label"),
        default="none",
        help="label: audits drawn by the LLM's label, also judged with the strata left aside",
    )
    options.add_argument("--encoder", default=LINEAR, help="classifier of which audits speak")
    options.add_argument("--encoder_seeds", type=int, default=2, help="trainings of an encoder")
    options.add_argument("--max_pool", type=int, default=MAX_POOL, help="most texts of a pool")
    options.add_argument("--max_length", type=int, default=256, help="tokens that it reads")
    options.add_argument("--workspace", default="outputs", help="folder for embeddings")
    options.add_argument("--out", type=Path, help="file to which the tables are written as well")
    return options


def estimate_rows(cells: Sequence[Cell]) -> list[list[str]]:
    """A row for each kind of estimate and each size: bias, RMSE, width and coverage.

    The last column is the coverage of a correct interval, given the truth's own error.
    """
    rows = []
    kinds = dict.fromkeys(estimate.kind for cell in cells for estimate in cell.estimates)
    for kind in kinds:
        for size in SIZES:
            found = [
                estimate
                for cell in cells
                if cell.size == size
                for estimate in cell.estimates
                if estimate.kind == kind
            ]
            if not found:
                continue
            errors = np.array([item.interval.estimate - item.truth for item in found])
            low = np.array([item.interval.low for item in found])
            high = np.array([item.interval.high for item in found])
            truth = np.array([item.truth for item in found])
            own = np.array([item.truth_error for item in found])
            covered = (low <= truth) & (truth <= high)
            reach = np.maximum(high - low, 1e-9) / 2
            # The truth is measured, too: an interval whose error is as it says covers less of it.
            possible = 2 * ndtr(reach / np.hypot(reach / Z95, own)) - 1
            rows.append(
                [
                    kind,
                    str(size),
                    str(len(found)),
                    f"{100 * errors.mean():+.1f}",
                    f"{100 * np.sqrt((errors**2).mean()):.1f}",
                    f"{100 * np.sqrt((own**2).mean()):.1f}",
                    f"{100 * (high - low).mean():.1f}",
                    f"{100 * covered.mean():.1f}",
                    f"{100 * possible.mean():.1f}",
                ]
            )
    return rows


def verdict_rows(cells: Sequence[Cell]) -> list[list[str]]:
    """A row for each tolerance and size: per cent right, wrong and undecided.

    ``clearly wrong`` are those where the truth is more than two of its own standard errors on the
    other side of the tolerance.
    """
    rows = []
    for limit in TOLERANCES:
        for size in SIZES:
            found = [cell for cell in cells if cell.size == size]
            if not found:
                continue
            words = np.array([cell.verdicts[limit] for cell in found])
            loss = np.array([cell.true_loss for cell in found])
            error = np.array([cell.true_loss_error for cell in found])
            decided = words != CANNOT_TELL
            wrong = ((words == SAFE) & (loss > limit)) | ((words == NOT_SAFE) & (loss <= limit))
            clearly = wrong & (np.abs(loss - limit) > 2 * error)
            refused = np.array([cell.rarest < MIN_OF_CLASS for cell in found])
            of_the_rest = decided[~refused] if (~refused).any() else decided
            rows.append(
                [
                    f"{100 * limit:g}",
                    str(size),
                    str(len(found)),
                    *(
                        f"{100 * share.mean():.1f}"
                        for share in (
                            decided & ~wrong,
                            wrong,
                            clearly,
                            ~decided,
                            refused,
                            of_the_rest,
                        )
                    ),
                ]
            )
    return rows


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run all audits and print the tables."""
    options = _options().parse_args()
    folder = os.environ.get("ASSAY_DATA")
    if not folder:
        print_line("error: ASSAY_DATA must name the folder with the data.")
        return 2
    cells: list[Cell] = []
    began = time.monotonic()
    sizes = [int(size) for size in options.sizes.split(",") if size] or list(SIZES)
    names = [name for name in options.data.split(",") if name]
    workspace = Path(options.workspace)
    is_linear = options.encoder == LINEAR
    for number, labelled in enumerate(
        label_sets(Path(folder), workspace, options.llms, names=names, same_texts=not is_linear)
    ):
        for seed in range(options.seeds):
            if is_linear:
                cells += audits(
                    labelled,
                    sizes,
                    list(TOLERANCES),
                    1000 * number + seed,
                    by_label=options.strata == "label",
                )
            else:
                config = FinetuneConfig(
                    encoder=options.encoder,
                    seeds=options.encoder_seeds,
                    max_length=options.max_length,
                )
                # One seed for all LLMs of a data set: they share the trainings on human labels.
                cells += encoder_audits(
                    labelled,
                    sizes,
                    list(TOLERANCES),
                    seed,
                    config=config,
                    workspace=workspace,
                    max_pool=options.max_pool,
                )
        print_line(
            f"{labelled.data}, {labelled.llm_name}: {len(cells)} audits, "
            f"{time.monotonic() - began:.0f} s"
        )
    data = {cell.data for cell in cells}
    pairs = {(cell.data, cell.llm_name) for cell in cells}
    text = "\n\n".join(
        [
            f"{len(cells)} audits of {len(pairs)} pairs of data set and LLM, "
            f"from {', '.join(sorted(data))}. Classifier: {options.encoder}. Numbers x 100.",
            table(
                [
                    "estimate",
                    "audited",
                    "n",
                    "bias",
                    "RMSE",
                    "truth's error",
                    "width",
                    "covered",
                    "possible",
                ],
                estimate_rows(cells),
            ),
            table(
                [
                    "tolerance",
                    "audited",
                    "n",
                    "right",
                    "wrong",
                    "clearly wrong",
                    "cannot tell",
                    "refused",
                    "decided of the rest",
                ],
                verdict_rows(cells),
            ),
            *machine_lines(),
        ]
    )
    sys.stdout.write(f"{text}\n")
    if options.out:
        options.out.write_text(f"{text}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
