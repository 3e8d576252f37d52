"""Seeds as tasks on a Ray cluster: the machine is settled there, and results come back as bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from project.cluster.checks import Marker, blind_nodes, checked_cluster, marked
from project.cluster.connect import Cluster, Node
from project.cluster.files import bundle, model_files
from project.cluster.tasks import Needs, Work, run_tasks
from project.config.finetune import FinetuneConfig
from project.support.errors import AssayError
from project.training.encoder import Encoder
from project.training.history import Evaluation, Underway
from project.training.imported import save_files
from project.training.on_node import UNDERWAY, NodeMachine, RemoteJob, look, train_on_node
from project.training.precision import Machine
from project.training.results import Job, is_finished, load_result
from project.training.seed_memory import PROCESS_BYTES, SeedMemory, largest_seed
from project.training.worker_counts import gpu_workers
from project.training.workers import Outcome, Progress

_GIB = 2**30
_FASTEST_FIRST = ("bf16", "fp16", "fp32")
_MAX_SEEDS_ON_A_GPU = 5


class TrainingCluster:
    """A cluster whose nodes have been checked, and what they compute with."""

    def __init__(self, cluster: Cluster, marker: Marker, notes: list[str]) -> None:
        """Ask every node for its device, its fastest precision and its GPU's memory.

        Parameters
        ----------
        cluster
            The connection.
        marker
            A marker in the driver's folder of results.
        notes
            Gets sentences for the user.
        """
        self._cluster = cluster
        self._marker = marker
        found: dict[Node, NodeMachine] = cluster.on_every_node(look, None, with_gpu=True)
        self.machine = common_machine([node.machine for node in found.values()])
        # Where there is a GPU, nodes without one get no training: their results would differ.
        self._nodes = {
            node: here for node, here in found.items() if here.machine.device == self.machine.device
        }
        notes.append(self._sentence())
        if len({here.machine.fastest for here in self._nodes.values()}) > 1:
            notes.append(
                f"the nodes differ in their fastest precision; auto is {self.machine.fastest} on "
                "all of them."
            )

    def _sentence(self) -> str:
        n_nodes = len(self._nodes)
        nodes = f"{n_nodes} node{'s' if n_nodes > 1 else ''}"
        if self.machine.device == "cuda":
            n = sum(node.gpus for node in self._nodes)
            return f"{nodes} with {n:g} GPUs, fastest precision {self.machine.fastest}."
        n = sum(node.cpus for node in self._nodes)
        return f"{nodes} with {n:g} CPUs, fastest precision {self.machine.fastest}."

    def needs(self, encoder: Encoder, config: FinetuneConfig, jobs: Sequence[Job] = ()) -> Needs:
        """What one training of an encoder needs of a node.

        Memory is estimated as in :mod:`project.training.seed_memory`; without ``jobs`` that of
        their mini-batches is left out. On a GPU a training takes a share by memory, see
        :func:`project.training.worker_counts.gpu_workers`.

        Raises
        ------
        AssayError
            If no node can hold it.
        """
        seed = largest_seed(jobs) if jobs else SeedMemory(encoder.training_bytes(config))
        if self.machine.device == "cpu":
            needs = Needs(1, 0.0, PROCESS_BYTES + sum(seed))
            largest = max(node.memory for node in self._nodes)
            if needs.memory > largest:
                raise _too_large(encoder, needs.memory, "", largest)
            return needs
        memories = [here.gpu_bytes for here in self._nodes.values()]
        if seed.model > max(memories):
            raise _too_large(encoder, seed.model, "GPU ", max(memories))
        at_once = gpu_workers(1, min(memories), seed, _MAX_SEEDS_ON_A_GPU)
        return Needs(1, 1 / at_once, 4 * encoder.n_parameters + PROCESS_BYTES)

    def n_slots(self, encoder: Encoder, config: FinetuneConfig, jobs: Sequence[Job] = ()) -> int:
        """How many trainings the nodes that are here now can hold at the same time."""
        needs = self.needs(encoder, config, jobs)
        return max(1, sum(map(needs.places, self._nodes)))

    def run(
        self, jobs: Sequence[Job], folder: Path, workers: int, progress: Progress
    ) -> Iterator[Outcome]:
        """Run jobs on the cluster; see :func:`project.training.workers.run_in_processes`.

        ``workers`` is the most that run at the same time; 0: as many as the cluster holds.
        """
        if not jobs:
            return
        results = _Results(jobs, folder, progress)
        # A model of the hub is in its cache, since the encoder was tried before.
        weights = bundle(self._cluster, model_files(jobs[0].encoder.source))
        folders = {job.inputs.tokens.folder for job in jobs}
        tokens = {source: bundle(self._cluster, source.iterdir()) for source in folders}
        yield from run_tasks(
            self._cluster,
            Work(
                train_on_node,
                self.needs(jobs[0].encoder, jobs[0].config, jobs),
                workers,
                "Raise gradient_accumulation, lower max_length, or use nodes with more memory.",
            ),
            [
                (
                    job.digest,
                    RemoteJob(job, weights, tokens[job.inputs.tokens.folder], self._marker),
                )
                for job in jobs
            ],
            received=results.report,
            finish=results.finish,
        )


class _Results:
    """Takes what nodes send: each evaluation is reported once, each result is written to disk."""

    def __init__(self, jobs: Sequence[Job], folder: Path, progress: Progress) -> None:
        self._jobs = {job.digest: job for job in jobs}
        self._folder = folder
        self._progress = progress
        self._reported: set[tuple[str, int]] = set()

    def report(self, digest: str, message: Mapping[str, Any]) -> None:
        """Report an evaluation of a job, or where it is between two."""
        if UNDERWAY in message:
            self._progress(self._jobs[digest], Underway(**message[UNDERWAY]))
            return
        evaluation = Evaluation.from_json(message)
        # Epochs that were trained before a worker died are trained or restored again.
        if (digest, evaluation.number) not in self._reported:
            self._reported.add((digest, evaluation.number))
            self._progress(self._jobs[digest], evaluation)

    def finish(self, digest: str, files: Mapping[str, bytes], error: AssayError | None) -> Outcome:
        """Write the files of a result."""
        job = self._jobs[digest]
        if error is not None:
            return Outcome(job, error)
        if not is_finished(self._folder, job):
            try:
                save_files(self._folder, job, files)
            except AssayError as damage:
                return Outcome(job, damage)
        # Messages may be late or lost, where the result holds them all.
        for evaluation in load_result(self._folder / digest, job, reused=False).history:
            self.report(digest, evaluation.as_json())
        return Outcome(job, None)


@contextlib.contextmanager
def training_cluster(cluster: str, folder: Path, notes: list[str]) -> Iterator[TrainingCluster]:
    """Connect to a cluster and check its nodes.

    Parameters
    ----------
    cluster
        The parameter of that name; not ``none``.
    folder, notes
        See :func:`training_on`.
    """
    with checked_cluster(cluster) as connection, training_on(connection, folder, notes) as training:
        yield training


@contextlib.contextmanager
def training_on(connection: Cluster, folder: Path, notes: list[str]) -> Iterator[TrainingCluster]:
    """A connected cluster for trainings.

    Parameters
    ----------
    connection
        The cluster, whose nodes have the right versions.
    folder
        Folder of all results.
    notes
        Gets sentences for the user.
    """
    with marked(folder) as marker:
        if blind := blind_nodes(connection, marker):
            notes.append(
                f"{len(blind)} of {len(connection.nodes())} nodes do not see the workspace. "
                "Results come back all the same; a training whose node dies begins anew."
            )
        yield TrainingCluster(connection, marker, notes)


def common_machine(machines: Sequence[Machine]) -> Machine:
    """The device and the precision in which all trainings compute.

    A GPU where any node has one; of these nodes the slowest of their fastest precisions, which the
    others have as well.
    """
    best = "cuda" if any(machine.device == "cuda" for machine in machines) else "cpu"
    fastest = {machine.fastest for machine in machines if machine.device == best}
    return Machine(best, max(fastest, key=_FASTEST_FIRST.index))


def _too_large(encoder: Encoder, needed: int, kind: str, largest: int) -> AssayError:
    return AssayError(
        f"encoder {encoder.source.name} needs {needed / _GIB:.1f} GiB of {kind}memory in a "
        f"training; the largest node of the cluster has {largest / _GIB:.1f}. Add a larger node, "
        "or name a smaller encoder."
    )
