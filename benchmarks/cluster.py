"""What Ray costs beside one process, and how sleeping work scales over its workers.

The same small training runs in this process and on one worker of Ray, in turn. The start of Ray
and of its worker is measured apart. Then jobs that only sleep run on 1, 2, 4 and 8 workers, and
so does the annotation of texts by engines that only sleep: the cores do not limit them, so that
what is missing to perfect scaling is Ray's part and ours. With the annotation come its overhead
over one process, and the share of prompt beginnings that were computed more than once.

python -m benchmarks.cluster                                     15 minutes and more on 2 cores
python -m benchmarks.cluster --epochs 1 --repeats 1 --sleep 0.5  two minutes
python -m benchmarks.cluster --only annotation                   the annotation alone
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from benchmarks import sleeping
from benchmarks.machine import alternate, machine_lines
from project.annotation.annotate import annotate
from project.annotation.copies import Fleet
from project.annotation.cost import Meter
from project.annotation.engines.base import Annotator
from project.annotation.on_cluster import RemoteAnnotators
from project.annotation.on_node import Order, Seen, look
from project.annotation.orders import Placement
from project.annotation.prompt import Prompt
from project.cluster.checks import versions
from project.cluster.connect import Cluster, Node, connected
from project.cluster.tasks import Needs, Send, Work, run_tasks
from project.config.annotation import AnnotateConfig, SpendConfig
from project.config.finetune import FinetuneConfig
from project.config.task import TaskConfig
from project.data.tables import codes
from project.data.task import load_task
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.jobs import Run, run_jobs
from project.training.on_cluster import TrainingCluster, training_cluster
from project.training.results import Job

_REPLICAS = (1, 2, 4, 8)
_JOBS_EACH = 4  # sleeping jobs for each replica
_BLOCKS_EACH = 20  # blocks of texts for each copy of a sleeping engine
_DRAWS = 5


def small_jobs(folder: Path, seeds: int, epochs: int) -> list[Job]:
    """Seeds of the bundled encoder on 200 texts of the embedded task."""
    task = load_task(TaskConfig(max_train=200, max_validation=32, max_test=32))
    config = FinetuneConfig(epochs=epochs, precision="fp32", max_length=64)
    encoder = Encoder.find(config)
    examples = [task.split(split) for split in ("train", "validation", "test")]
    texts = [text for rows in examples for text in rows["text"]]
    ends = np.cumsum([len(rows) for rows in examples])
    train, validation, test = np.split(np.arange(len(texts)), ends[:2])
    labels = codes(examples[0]["gold_label"], task.label_set)
    inputs = TrainingInputs(
        encoder.tokens(texts, folder / "tokens"),
        (Phase(train, np.eye(len(task.label_set))[labels], np.ones(len(train))),),
        validation,
        codes(examples[1]["gold_label"], task.label_set),
    )
    return [
        Job(
            arm="gold",
            seed=seed,
            digest=f"seed{seed}",
            encoder=encoder,
            config=dataclasses.replace(config, learning_rate=1e-4),
            inputs=inputs,
            test_indices=test,
            test_ids=tuple(examples[2]["example_id"]),
            label_set=task.label_set,
        )
        for seed in range(seeds)
    ]


def seconds_of_training(jobs: Sequence[Job], run: Run | None) -> float:
    """Seconds until all results are on disk, one job at a time."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for _ in run_jobs(
            jobs, folder=Path(folder), workers=1, progress=lambda job, one: None, run=run
        ):
            pass
        return time.perf_counter() - began


def nap(seconds: float, send: Send) -> None:
    """A job that sleeps."""
    del send
    time.sleep(seconds)


def seconds_of_naps(cluster: Cluster, seconds: float, replicas: int) -> float:
    """Seconds of four naps for each of ``replicas`` workers."""
    naps = {str(number): seconds for number in range(_JOBS_EACH * replicas)}
    began = time.perf_counter()
    for _ in run_tasks(
        cluster,
        Work(nap, Needs(0, 0.0, 0), replicas, "Run again."),
        naps.items(),
        received=lambda key, message: None,
        finish=lambda key, value, error: (value, error),
    ):
        pass
    return time.perf_counter() - began


def measured_training(cluster: TrainingCluster, jobs: list[Job], repeats: int) -> list[str]:
    """Lines on the overhead of Ray in a training."""
    began = time.perf_counter()
    short = dataclasses.replace(jobs[0].config, epochs=1)
    seconds_of_training([dataclasses.replace(jobs[0], config=short)], cluster.run)
    warm = time.perf_counter() - began
    seconds = alternate(
        {
            "here": lambda _: seconds_of_training(jobs, None),
            "ray": lambda _: seconds_of_training(jobs, cluster.run),
        },
        repeats,
    )
    here, ray = (statistics.median(seconds[side]) for side in ("here", "ray"))
    return [
        f"first training on a worker, with its imports: {warm:.1f} s",
        f"{len(jobs)} trainings, median of {repeats}: in this process {here:.1f} s, "
        f"on Ray {ray:.1f} s, overhead {100 * (ray / here - 1):+.1f} %",
    ]


def measured_naps(cluster: Cluster, seconds: float) -> list[str]:
    """Lines on the scaling of sleeping jobs."""
    seconds_of_naps(cluster, 0.01, max(_REPLICAS))  # starts the workers
    lines = []
    for replicas in _REPLICAS:
        wall = seconds_of_naps(cluster, seconds, replicas)
        share = 100 * _JOBS_EACH * seconds / wall
        lines.append(
            f"{replicas} workers, {_JOBS_EACH} jobs of {seconds:g} s each: {wall:.2f} s, "
            f"efficiency {share:.0f} %"
        )
    return lines


def seconds_of_annotation(annotators: Sequence[Annotator], folder: Path, n_texts: int) -> float:
    """Seconds until all answers under each prompt are on disk."""
    texts = [f"text {number}" for number in range(n_texts)]
    began = time.perf_counter()
    for _ in annotate(
        annotators,
        [Prompt(draw, f"Prompt {draw}: ", "", ("a", "b")) for draw in range(_DRAWS)],
        pd.DataFrame({"example_id": texts, "text": texts}),
        ("a", "b"),
        config=AnnotateConfig(min_label_mass=0),
        folder=folder,
        progress=lambda n: None,
        meter=Meter(SpendConfig()),
    ):
        pass
    return time.perf_counter() - began


class _Crowded(Placement):
    """As many copies on a node as asked for: they sleep, and need no CPU."""

    def slots(self, node: Node) -> int:
        """How many copies a node holds."""
        del node
        return self.most

    def needs(self, node: Node) -> Needs:
        """Hardly anything."""
        del node
        return Needs(0.01, 0.0, 0)


def sleeping_copies(cluster: Cluster, config: AnnotateConfig, n: int) -> RemoteAnnotators:
    """Copies of the sleeping engine on a cluster, all of them open."""
    order = Order(
        engine="sleeping",
        facts=sleeping.FACTS,
        arguments={"annotate": config},
        source=None,
        files=None,
        key_variable="",
        versions=versions(),
    )
    placement = _Crowded(0, 1, on_gpu=False, most=max(_REPLICAS))
    seen = cast("Seen", look(order))  # no file is missing
    copies = RemoteAnnotators(cluster, Fleet(cluster, order, placement, seen, n))
    while not all(copy.is_ready() for copy in copies):
        pass
    return copies


def measured_annotation(cluster: Cluster, seconds: float) -> list[str]:
    """Lines on the annotation by sleeping engines, with ``seconds`` for each block of texts."""
    lines = []
    alone = 0.0
    for replicas in (0, *_REPLICAS):  # 0: in this process
        n_blocks = _BLOCKS_EACH * max(1, replicas)
        n_texts = n_blocks * sleeping.SleepingAnnotator.shard_size // _DRAWS
        with tempfile.TemporaryDirectory() as name:
            config = AnnotateConfig(annotator_model=f"{seconds}:{name}")
            if not replicas:
                here: list[Annotator] = [sleeping.SleepingAnnotator(config)]
                alone = seconds_of_annotation(here, Path(name) / "answers", n_texts)
                lines.append(f"annotation in this process, {n_blocks} blocks: {alone:.2f} s")
                continue
            copies = sleeping_copies(cluster, config, replicas)
            wall = seconds_of_annotation(copies, Path(name) / "answers", n_texts)
            copies.close()
            n_prompts = sleeping.prompts_computed(Path(name))
        # With a prompt of 512 tokens before texts of 60.
        again = 512 * (n_prompts - _DRAWS) / (512 * n_prompts + 60 * n_texts * _DRAWS)
        lines.append(
            f"annotation by {replicas} copies, {n_blocks} blocks of {seconds:g} s: {wall:.2f} s, "
            f"efficiency {100 * _BLOCKS_EACH * seconds / wall:.0f} %, {100 * again:.2f} % of the "
            "tokens are beginnings of prompts computed again"
        )
        if replicas == 1:
            lines.append(f"overhead of Ray over this process: {100 * (wall / alone - 1):+.1f} %")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sleep", type=float, default=2.0)
    parser.add_argument("--only", choices=("annotation",))
    options = parser.parse_args()
    lines = [*machine_lines(), f"ray {importlib.metadata.version('ray')}"]
    if options.only is None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            jobs = small_jobs(folder, options.seeds, options.epochs)
            began = time.perf_counter()
            with training_cluster("local", folder, []) as cluster:
                lines.append(f"start of Ray and checks: {time.perf_counter() - began:.1f} s")
                lines += measured_training(cluster, jobs, options.repeats)
    with connected("local") as connection:
        if options.only is None:
            lines += measured_naps(connection, options.sleep)
        lines += measured_annotation(connection, options.sleep)
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
