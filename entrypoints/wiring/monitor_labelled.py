"""The labelled spot check of a batch: the classifier's accuracy in it, logged into its run."""

from __future__ import annotations

from entrypoints.wiring.monitor_batches import number_of
from entrypoints.wiring.monitor_publish import ACCURACY, OLD_ACCURACY, Call
from entrypoints.wiring.monitor_spot_check import accuracy_of
from entrypoints.wiring.monitor_texts import Source
from entrypoints.wiring.question_sheet import SAMPLING
from entrypoints.wiring.terminal import print_line
from project.support.errors import AssayError, UnusableRun
from project.support.escape import escape_markdown
from project.tracking import NOTE, Record, Tracker, read_table

_BEGIN = "Accuracy in this batch"


def publish_accuracy(call: Call, seen: Record | None, source: Source) -> None:
    """Estimate the accuracy in a batch from its labelled spot check, log and print it.

    Raises
    ------
    AssayError
        If the batch is not one of the monitor's, has no spot check, or the files cannot be used.
    """
    if seen is None:
        raise AssayError(
            f"human needs a batch that was compared before; {source.name} is none of the "
            f"{len(call.monitor.batches)} batches of this monitor. Run without human first, and "
            "label the texts that are drawn."
        )
    number = number_of(seen)
    try:
        sampling = read_table(seen.run_id, f"spot_check/{SAMPLING}")
    except UnusableRun as error:
        raise AssayError(
            f"human needs the spot check of batch {number}, which has none: {error} It was "
            "compared with spot_check=0."
        ) from None
    label_set = call.choice.experiment.label_set
    accuracy = accuracy_of(sampling, source, call.config.human_files, label_set)
    sentence = f"{_BEGIN}: {accuracy.sentence}"
    if OLD_ACCURACY in seen.metrics:
        sentence += f" On the old texts it is {100 * seen.metrics[OLD_ACCURACY]:.1f}."
    tracker = Tracker(seen.run_id)
    estimate, low, high = accuracy.interval
    metrics = {
        ACCURACY: estimate,
        f"{ACCURACY}_low": low,
        f"{ACCURACY}_high": high,
        "monitor.texts_labelled": accuracy.n_labelled,
    }
    tracker.log_metrics(metrics, step=number)
    parts = seen.tags.get(NOTE, "").split("\n\n")
    others = [part for part in parts if not part.startswith(_BEGIN)]
    # The alarm stays in front.
    tracker.describe("\n\n".join([*others[:1], escape_markdown(sentence), *others[1:]]))
    print_line(f"monitor: batch {number} (run {seen.run_id}). {sentence}")
