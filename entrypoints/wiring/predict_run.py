"""Labelling of a corpus as a run of the tracking store: in blocks, which survive a kill."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from entrypoints.wiring.predict_choice import (
    Choice,
    Threshold,
    calibration_json,
    choose,
    pick_threshold,
)
from entrypoints.wiring.predict_done import finished_job
from entrypoints.wiring.predict_shares import CorpusAudit, publish_shares, read_corpus_audit
from entrypoints.wiring.predict_where import BlockClassifier, open_place
from entrypoints.wiring.setup import check_store
from entrypoints.wiring.terminal import Progress, print_line
from project.config.fields import parse
from project.config.predict import PredictConfig
from project.data.corpus import Corpus, file_tables, open_corpus, text_list
from project.data.labelled_blocks import Columns, LabelledBlocks, Summary, forget_blocks, labelled
from project.support.escape import escape_markdown
from project.support.files import digest, sha256_of
from project.tracking import (
    DIGEST,
    NOTE,
    OUTPUT,
    LoggedClassifier,
    Record,
    Tracker,
    classifier_files,
    joined_name,
    register,
    root_run,
)
from project.training.classifier import SavedClassifier
from project.training.evaluate import metric_names

_MODEL = "assay.model"
_UNCORRECTED = "These shares are not corrected for the classifier's errors"
_BUT = "; those in the table are"
_TABLE = "\n\n```\n"  # after which the table of corrected shares begins
DEFAULT_COLUMN = "text"
"""Column with the texts, for a model of an earlier version, which does not name it."""


class _Labelling(NamedTuple):
    """What a finished labelling took.

    ``n_new`` texts were labelled by this process, in ``seconds``; ``n_cut`` of them were cut.
    """

    summary: Summary
    n_new: int
    n_cut: int
    seconds: float


class _Job(NamedTuple):
    """Texts, and the classifiers that label them; ``audit`` has human labels of some of them."""

    params: Mapping[str, str]
    config: PredictConfig
    choice: Choice
    threshold: Threshold
    files: Sequence[LoggedClassifier]
    corpus: Corpus
    columns: Columns
    audit: CorpusAudit | None

    def facts(self, precision: str) -> dict[str, object]:
        """Everything that can change a block, by name."""
        return {
            "model": list(self.choice.model_ids),
            "data": self.corpus.sha256,
            "text_column": self.corpus.text_column,
            "block_size": self.config.block_size,
            "precision": precision,
            "prefix": self.config.prefix,
        }


def run_prediction(params: Mapping[str, str]) -> None:
    """Choose the classifier, register it where that is asked for, and label the corpus.

    Raises AssayError for input that cannot be used, before anything is logged.
    """
    config = parse(PredictConfig, params)
    config.check_complete()
    check_store(config.workspace)
    choice = choose(config)
    print_line(f"predict: {choice.sentence}")
    threshold = pick_threshold(config, choice)
    if config.data:
        print_line(f"predict: {threshold.sentence}")
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context(classifier_files(run.run_id, model_id))
            for run, model_id in zip(choice.runs, choice.model_ids, strict=True)
        ]
        for file in files:
            print_line(f"predict: model {file.address} of run {file.run_id}.")
        if config.register_model and not config.dry_run:
            address = register(choice.model_ids[0], config.register_model)
            print_line(f"predict: registered as {address}.")
        if not config.data:
            return
        columns = Columns(choice.experiment.label_set, config.prefix, len(files) > 1)
        text_column = config.text_column or files[0].text_column or DEFAULT_COLUMN
        corpus = open_corpus(config, text_column, columns.names)
        _print_corpus(corpus)
        if config.dry_run:
            print_line("predict: a dry run labels nothing. Run again without dry_run.")
            return
        audit = read_corpus_audit(config, corpus, choice.experiment)
        job = _Job(params, config, choice, threshold, files, corpus, columns, audit)
        _label(job)


def _print_corpus(corpus: Corpus) -> None:
    """Print how many texts there are, and how many rows have none."""
    print_line(
        f"predict: {corpus.n_rows} rows in {len(corpus.parts)} files or splits, text in column "
        f"{corpus.text_column}."
    )
    if corpus.n_without_text:
        print_line(
            f"predict: {corpus.n_without_text} of {corpus.n_rows} rows have no text; they get no "
            "label and abstained=true."
        )


def saved_classifiers(files: Sequence[LoggedClassifier]) -> list[SavedClassifier]:
    """Where the weights and tokenizers of logged classifiers lie."""
    return [
        SavedClassifier(
            file.address,
            model=file.folder / "model",
            tokenizer=file.folder / "components" / "tokenizer",
            max_length=file.max_length,
        )
        for file in files
    ]


def _label(job: _Job) -> None:
    """Label the corpus in a root run, unless the output holds these labels already."""
    config = job.config
    output = Path(config.output).expanduser().absolute()
    root = job.choice.experiment.root
    model = ",".join(file.address for file in job.files)
    run_id = job.files[0].run_id if len(job.files) == 1 else root.run_id
    with open_place(config, saved_classifiers(job.files)) as place:
        facts = job.facts(place.precision)
        identity = digest([facts, job.threshold.value, model, run_id])
        if earlier := finished_job(output, identity):
            print_line(
                f"predict: {output} holds these labels already (run {earlier.run_id}). Nothing is "
                "computed."
            )
            forget_blocks(output)
            if job.audit:
                _correct_again(earlier, job, job.audit, output)
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        with (
            contextlib.closing(LabelledBlocks(output, facts)) as blocks,
            root_run("predict", _name(job), job.params, config.workspace) as tracker,
        ):
            tracker.tag({_MODEL: model, "assay.predicted_by": run_id})
            tracker.log_inputs([(Path(config.data).name[:400], job.corpus.sha256, "prediction")])
            began = time.monotonic()
            n_new, n_cut = _label_blocks(blocks, place.load(), job)
            seconds = time.monotonic() - began
            corrected = ""
            if job.audit:
                corrected = publish_shares(tracker, job.audit, blocks.tables(), job.columns)
            summary = blocks.finish(
                job.columns, threshold=job.threshold.value, model=model, run_id=run_id
            )
            tracker.tag({DIGEST: identity, OUTPUT: sha256_of(output)})
            done = _Labelling(summary, n_new, n_cut, seconds)
            _log(tracker, done, job.choice, job.threshold, output=output, corrected=corrected)
        # Only now: a process that is killed before goes on from the blocks.
        forget_blocks(output)


def _name(job: _Job) -> str:
    """The name of the root run: task, arm and what is labelled."""
    arm = job.choice.runs[0].params.get("arm", "")
    task = str(job.choice.experiment.config["task"]["name"])
    return joined_name(task, arm, "predict", Path(job.config.data).name or job.config.data)


def _correct_again(earlier: Record, job: _Job, audit: CorpusAudit, output: Path) -> None:
    """Log what human labels say that came after the texts were labelled."""
    tracker = Tracker(earlier.run_id)
    tables = file_tables(output, job.config.block_size)
    table = publish_shares(tracker, audit, tables, job.columns, earlier.metrics)
    said, _, _ = earlier.tags.get(NOTE, "").partition(_TABLE)
    tracker.describe(_with_table(said.replace(f"{_UNCORRECTED}.", f"{_UNCORRECTED}{_BUT}."), table))


def _with_table(text: str, table: str) -> str:
    """A description that ends with the table of corrected shares."""
    return f"{text}{_TABLE}{table.replace('`', chr(39))}\n```"


def _label_blocks(
    blocks: LabelledBlocks, classifiers: BlockClassifier, job: _Job
) -> tuple[int, int]:
    """Label the blocks that are not done; returns how many texts were labelled and cut."""
    corpus = job.corpus
    if blocks.n_done:
        print_line(f"predict: {blocks.n_done} blocks are done already, and not computed again.")
    under_way: dict[int, tuple[pa.Table, list[str | None]]] = {}
    n_new = n_cut = 0
    with Progress("predict", corpus.n_rows, "texts") as progress:

        def open_blocks() -> Iterator[tuple[int, list[str]]]:
            for index, table in enumerate(corpus.blocks(job.config.block_size)):
                if blocks.has(index):
                    progress(table.num_rows)
                    continue
                texts = text_list(table, corpus.text_column)
                under_way[index] = (table, texts)
                yield index, [text for text in texts if text is not None]

        for index, classified in classifiers.classified(open_blocks()):
            table, texts = under_way.pop(index)
            has_text = [text is not None for text in texts]
            blocks.write(index, labelled(table, has_text, classified.probabilities, job.columns))
            n_new += sum(has_text)
            n_cut += classified.n_cut
            progress(table.num_rows)
    return n_new, n_cut


def _log(
    tracker: Tracker,
    done: _Labelling,
    choice: Choice,
    threshold: Threshold,
    *,
    output: Path,
    corrected: str,
) -> None:
    """Log and print what the output holds; ``corrected`` is the table of corrected shares."""
    summary = done.summary
    n_texts = summary.n_rows - summary.n_without_text
    n_given = summary.n_rows - summary.n_abstained
    rate = done.n_new / done.seconds if done.n_new else 0.0
    shares = {
        name: n / max(1, n_given)
        for name, n in zip(
            metric_names(list(summary.n_by_label)), summary.n_by_label.values(), strict=True
        )
    }
    tracker.log_metrics(
        {
            "texts": n_texts,
            "rows_without_text": summary.n_without_text,
            "texts_cut": done.n_cut,
            "texts_per_second": rate,
            "abstained_share": (summary.n_abstained - summary.n_without_text) / max(1, n_texts),
            "threshold": threshold.value,
            **{f"share.{name}": share for name, share in shares.items()},
        }
    )
    tracker.log_json("summary.json", {**summary._asdict(), "threshold": threshold.sentence})
    if threshold.candidates:
        tracker.log_json("calibration.json", calibration_json(threshold))
    cut = f" {done.n_cut} texts were cut at the end." if done.n_cut else ""
    listed = ", ".join(
        f"{label} {100 * n / max(1, n_given):.1f} %" for label, n in summary.n_by_label.items()
    )
    text = (
        f"{n_texts} texts labelled, {summary.n_abstained - summary.n_without_text} of them "
        f"abstained; of the given labels: {listed}.{cut} {_UNCORRECTED}{_BUT if corrected else ''}."
    )
    note = escape_markdown(f"{choice.sentence} {threshold.sentence} {text}")
    tracker.describe(_with_table(note, corrected) if corrected else note)
    print_line(f"predict: {text}")
    print_line(f"predict: written to {output} ({rate:.0f} texts per second).")
