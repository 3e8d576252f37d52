"""What a monitor logs and prints: one run for each batch, in one experiment of the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.store.publish import where_to_look
from entrypoints.wiring.monitor_batches import (
    NUMBER,
    OF_BATCH,
    SAMPLE,
    SO_FAR,
    Monitor,
    number_of,
    sample_of,
)
from entrypoints.wiring.monitor_compare import (
    Comparison,
    alarm_sentence,
    compare,
    rows,
    table,
)
from entrypoints.wiring.monitor_spot_check import (
    SpotCheck,
    draw_spot_check,
)
from entrypoints.wiring.monitor_texts import Facts, Predicted, Side, Source, aspects_of
from entrypoints.wiring.predict_choice import Choice
from entrypoints.wiring.question_sheet import SAMPLING, load_codebook
from entrypoints.wiring.terminal import print_line
from project.config.monitor import MonitorConfig
from project.config.next_command import FILE, command_line, shared_parameters
from project.support.escape import escape_markdown
from project.support.parquet import write_table
from project.tracking import (
    BASE_NAME,
    BATCH,
    MONITOR,
    VERDICT,
    VERDICT_REASON,
    OwnExperiment,
    Tracker,
    root_run,
)
from project.training.evaluate import metric_names

ALARM = "monitor.alarm"
N_TEXTS = "monitor.texts"
ACCURACY = "monitor.accuracy"
OLD_ACCURACY = "monitor.old_accuracy"
_LATEST = "monitor.latest_accuracy"
_SERIES = (
    NUMBER,
    "monitor.p_value",
    ALARM,
    OF_BATCH,
    "monitor.p_alone.label",
    "monitor.p_alone.embedding",
    "monitor.embedding_distance",
    "monitor.mean_probability",
    "monitor.agreement",
)
"""Metrics of earlier batches that a run repeats at their steps, besides the class shares."""


class Call(NamedTuple):
    """One call: its parameters, the classifier, the monitor, and the generator of the batch."""

    params: Mapping[str, str]
    config: MonitorConfig
    choice: Choice
    monitor: Monitor
    rng: np.random.Generator


def publish_batch(
    call: Call, old: tuple[Source, Side], new: tuple[Source, Side], texts: Predicted
) -> None:
    """Compare a batch, log it as a run, and print the table, the alarm and the spot check.

    Parameters
    ----------
    call
        The call.
    old, new
        The old texts and those of the batch.
    texts
        Predictions of the batch.
    """
    source, side = new
    monitor = call.monitor
    number = monitor.next_number
    earlier = [sample_of(monitor, run) for run in monitor.batches]
    comparison = compare(
        aspects_of(old[1].sample),
        aspects_of(side.sample),
        [aspects_of(sample) for sample in earlier],
        monitor.p_values(),
        most=call.config.sample_size,
        rng=call.rng,
    )
    sentence = alarm_sentence(comparison, number, _first_alarm(monitor))
    shown = _table(call, old, new, comparison, number)
    notes = _notes(source, texts, side.sample, [old[1].sample, *earlier])
    name = f"batch {number}: {source.name}"
    with root_run(
        "monitor", name, call.params, call.config.workspace, _experiment(call)
    ) as tracker:
        folder = monitor.folder / f"batch_{number}"
        check = _spot_check(call, source, texts, folder) if call.config.spot_check else None
        tracker.tag(_tags(call, source, comparison, sentence))
        tracker.log_inputs([(source.name[:400], source.digest, "monitoring")])
        _log_numbers(tracker, call, old[1].facts, side, comparison, texts)
        file = monitor.folder / f"{tracker.run_id}.parquet"
        write_table(file, side.sample)
        files = dict(check.files) if check else {}
        files[SAMPLE] = file
        if call.config.private:  # questions hold texts, and embeddings may give texts away
            files = {path: own for path, own in files.items() if path.endswith(SAMPLING)}
        tracker.log_files(files)
        text = "\n\n".join([sentence, *notes])
        tracker.describe(f"{escape_markdown(text)}\n\n```\n{shown.replace('`', chr(39))}\n```")
        for line in (f"\n{shown}", *(f"monitor: {note}" for note in notes), f"\n{sentence}\n"):
            print_line(line)
        if check:
            print_line(_next_steps(call, check))
        print_line(where_to_look(tracker, 13))


def _experiment(call: Call) -> OwnExperiment:
    """The experiment of the store that holds the batches of this monitor."""
    root = call.choice.experiment.root
    # Not the name that it has now: a verdict changes it, and the experiment is found by its name.
    name = root.tags.get(BASE_NAME, root.name)
    of = f" against {Path(call.config.reference).name}" if call.config.reference else ""
    return OwnExperiment(
        f"monitor of {name} {root.run_id[:8]}{of} ({call.monitor.key[:6]})",
        f"Batches of new texts beside old ones, by a classifier of run {root.run_id}. Every run is "
        "one batch; the newest one holds all earlier batches too, so that its charts, with the "
        "step as the x-axis, show the whole monitor. Step 0 is the old texts.",
    )


def _tags(call: Call, source: Source, comparison: Comparison, sentence: str) -> dict[str, str]:
    root = call.choice.experiment.root
    return {
        MONITOR: call.monitor.key,
        BATCH: source.digest,
        "assay.monitored": root.run_id,
        "assay.predicted_by": ",".join(run.run_id for run in call.choice.runs),
        VERDICT: "alarm" if comparison.is_alarm else "no alarm",
        VERDICT_REASON: sentence,
    }


def _table(
    call: Call,
    old: tuple[Source, Side],
    new: tuple[Source, Side],
    comparison: Comparison,
    number: int,
) -> str:
    facts = old[1].facts
    heading = (
        f"batch {number}: {new[0].name}, {new[1].facts.n} texts, beside {facts.n} old texts "
        f"({old[0].name})"
    )
    shown = rows(facts, new[1].facts, comparison.alone, call.choice.experiment.label_set)
    n_read = (len(old[1].sample), len(new[1].sample))
    return table(heading, shown, comparison.alone, n_read)


def _notes(
    source: Source, texts: Predicted, sample: pd.DataFrame, before: list[pd.DataFrame]
) -> list[str]:
    """What a reader should know of the batch."""
    notes = []
    known = pd.concat([table["key"] for table in before])
    if n_again := int(sample["key"].isin(known).sum()):
        notes.append(
            f"{n_again} of the {len(sample)} texts read of this batch stand among the old texts or "
            "in an earlier batch. If the file holds earlier batches too, name the new texts alone."
        )
    if texts.n_cut:
        notes.append(f"{texts.n_cut} of {source.n} texts were cut at the end.")
    return notes


def _log_numbers(
    tracker: Tracker, call: Call, old: Facts, side: Side, comparison: Comparison, texts: Predicted
) -> None:
    """Log the numbers of the batch at its step, those of earlier ones at theirs, the old at 0."""
    labels = call.choice.experiment.label_set
    shares = [f"share.{name}" for name in metric_names(list(labels))]
    tracker.log_metrics(_shown(old, shares), step=0)
    for run in call.monitor.batches:
        repeated = {name: run.metrics[name] for name in (*_SERIES, *shares) if name in run.metrics}
        if ACCURACY in run.metrics:
            repeated[_LATEST] = run.metrics[ACCURACY]
        tracker.log_metrics(repeated, step=number_of(run))
    number = call.monitor.next_number
    of_aspect = comparison.alone.of_aspect
    metrics = {
        NUMBER: number,
        N_TEXTS: side.facts.n,
        "monitor.texts_read": len(side.sample),
        "monitor.texts_cut": texts.n_cut,
        "monitor.p_value": comparison.anytime,
        ALARM: float(comparison.is_alarm),
        OF_BATCH: comparison.of_batch,
        **{f"monitor.p_alone.{name}": value for name, value in of_aspect.items()},
        "monitor.embedding_distance": comparison.alone.distance,
        **_shown(side.facts, shares),
    }
    if comparison.so_far is not None:
        metrics[SO_FAR] = comparison.so_far
    if old.n_right is not None:
        metrics[OLD_ACCURACY] = old.n_right / old.n
    tracker.log_metrics(metrics, step=number)


def _shown(facts: Facts, shares: list[str]) -> dict[str, float]:
    """Class shares and means of the scores as metrics."""
    result = {name: n / facts.n for name, n in zip(shares, facts.n_by_class, strict=True)}
    result |= {f"monitor.{name}": mean for name, (mean, _) in facts.scores.items()}
    if facts.n_right is not None:
        result[_LATEST] = facts.n_right / facts.n
    return result


def _first_alarm(monitor: Monitor) -> int | None:
    """The number of the first batch with an alarm; None if there was none."""
    return next((number_of(run) for run in monitor.batches if run.metrics.get(ALARM)), None)


def _spot_check(call: Call, source: Source, texts: Predicted, folder: Path) -> SpotCheck:
    return draw_spot_check(
        source,
        texts,
        call.config.spot_check,
        call.choice.experiment.label_set,
        title=f"Spot check of {source.name}",
        folder=folder,
        codebook=load_codebook(call.config.codebook),
        seed=int(call.rng.integers(2**31)),
    )


def _next_steps(call: Call, check: SpotCheck) -> str:
    """Where the spot check is, and the command that takes the answers."""
    # The experiment by its id: a newer one would be another monitor.
    given = {"run_id": call.choice.experiment.root.run_id}
    given |= shared_parameters(call.params, "monitor")
    given["human"] = FILE
    answered = command_line("monitor", given)
    return (
        f"spot check   {(check.folder / 'label.html').resolve()}: {check.n} texts, drawn at "
        "random, to label in a browser\n"
        f"sampling     {(check.folder / SAMPLING).resolve()}\n"
        f"then run     {answered}"
    )
