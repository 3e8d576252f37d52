"""Labelled texts on disk, block by block, and the one file that they become."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from project.data.arrow_tables import common_schema, fitted
from project.data.table_writer import TableWriter
from project.data.tables import PROBABILITY
from project.stats.types import Floats
from project.support.claims import Claim
from project.support.errors import AssayError
from project.support.files import sha256_of, write_atomically

_FACTS = "job.json"
_WRITTEN = "output.sha256"
_ROWS = 4096  # written together


class Columns(NamedTuple):
    """The columns that the output gets.

    Attributes
    ----------
    labels
        The classes in their order.
    prefix
        Text before every name.
    has_agreement
        Whether several seeds predict.
    """

    labels: tuple[str, ...]
    prefix: str
    has_agreement: bool

    @property
    def probabilities(self) -> list[str]:
        """The column of every class."""
        return [f"{self.prefix}{PROBABILITY}{label}" for label in self.labels]

    @property
    def names(self) -> list[str]:
        """All of them, in the output's order."""
        agreement = [f"{self.prefix}agreement"] if self.has_agreement else []
        last = [f"{self.prefix}{name}" for name in ("abstained", "model", "run_id")]
        return [f"{self.prefix}label", *self.probabilities, *agreement, *last]


class Summary(NamedTuple):
    """What the finished output holds.

    ``n_by_label`` counts the labels of texts that are not abstained.
    """

    n_rows: int
    n_without_text: int
    n_abstained: int
    n_by_label: dict[str, int]


def labelled(
    table: pa.Table, has_text: Sequence[bool], probabilities: Floats, columns: Columns
) -> pa.Table:
    """The rows with label, probabilities and agreement; null for rows without a text.

    Parameters
    ----------
    table
        The input's rows.
    has_text
        Which of them have a text.
    probabilities
        Of the rows with a text, ``(n_seeds, n_texts, n_classes)``; the label is the argmax of the
        mean over the seeds (ties: the first class).
    columns
        Names of the new columns.
    """
    mean = probabilities.mean(axis=0)
    best = mean.argmax(axis=1)
    index = np.full(len(has_text), -1)
    mask = np.asarray(has_text, dtype=bool)
    index[mask] = np.arange(int(mask.sum()))
    rows = pa.array(index, mask=~mask)
    new = {f"{columns.prefix}label": pa.array(np.array(columns.labels, dtype=object)[best])}
    for code, name in enumerate(columns.probabilities):
        new[name] = pa.array(mean[:, code].astype(np.float32))
    if columns.has_agreement:
        agreement = (probabilities.argmax(axis=2) == best).mean(axis=0)
        new[f"{columns.prefix}agreement"] = pa.array(agreement.astype(np.float32))
    for name, values in new.items():
        kind = pa.large_string() if name == f"{columns.prefix}label" else values.type
        table = table.append_column(name, values.cast(kind).take(rows))
    return table


class LabelledBlocks:
    """The blocks of one job, in the folder ``OUTPUT.parts`` until the output is complete."""

    def __init__(self, output: Path, facts: Mapping[str, object]) -> None:
        """Go on with the blocks of an earlier process, or begin.

        Parameters
        ----------
        output
            The file that is written at the end.
        facts
            Everything that can change a block, by name.

        Raises
        ------
        AssayError
            If the output exists, another process works on it, or the blocks on disk are of another
            job.
        """
        self._output = output
        self._folder = _folder(output)
        if output.exists() and not self._wrote_output():
            raise AssayError(
                f"output must be a new file; {output} exists and holds something else: labels by "
                "another model or threshold, of other data, or changed since. Name another file."
            )
        self._claim = Claim(output.with_name(f".{output.name}.lock"))
        if not self._claim.take():
            self._claim.close()
            raise AssayError(
                f"output {output} is being written by {self._claim.owner}. Wait, or name another "
                "file."
            )
        file = self._folder / _FACTS
        now = json.loads(json.dumps(dict(facts)))
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else now
        differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if differing:
            self._claim.close()
            raise AssayError(
                f"output {output} was begun by another job: {', '.join(differing)} differ. Run "
                f"with the same model, data and parameters to go on, name another output, or "
                f"remove {self._folder} to begin anew."
            )
        write_atomically(file, json.dumps(now, indent=1).encode())

    @property
    def n_done(self) -> int:
        """How many blocks are done."""
        return sum(1 for _ in self._folder.glob("[0-9]*.parquet"))

    def has(self, index: int) -> bool:
        """Whether a block is done."""
        return self._file(index).is_file()

    def write(self, index: int, table: pa.Table) -> None:
        """Keep a block."""
        temporary = self._folder / f".{index}-{uuid.uuid4().hex}"
        pq.write_table(table, temporary, compression="zstd")
        temporary.replace(self._file(index))

    def tables(self) -> Iterator[pa.Table]:
        """The blocks that are done, in their order."""
        for index in range(self.n_done):
            yield pq.read_table(self._file(index))

    def _wrote_output(self) -> bool:
        """Whether the output is that of these blocks, by a process that ended before its run."""
        file = self._folder / _WRITTEN
        return file.is_file() and file.read_text(encoding="utf-8") == sha256_of(self._output)

    def close(self) -> None:
        """Let another process work on the output; the blocks stay."""
        self._claim.close()

    def finish(self, columns: Columns, *, threshold: float, model: str, run_id: str) -> Summary:
        """Write the output. The blocks stay until :func:`forget_blocks`.

        Parameters
        ----------
        columns
            The new columns.
        threshold
            Texts whose label has a smaller probability are abstained, and those without a text.
        model, run_id
            What stands in the columns of these names.
        """
        files = [self._file(index) for index in range(self.n_done)]
        schema = common_schema(pq.read_schema(file) for file in files)
        constants = {"model": model, "run_id": run_id}
        tail = [pa.field(f"{columns.prefix}abstained", pa.bool_())]
        tail += [pa.field(f"{columns.prefix}{name}", pa.large_string()) for name in constants]
        counts = dict.fromkeys(columns.labels, 0)
        n_rows = n_without = n_abstained = 0
        temporary = self._output.with_name(f".{self._output.name}-{uuid.uuid4().hex}")
        ending = self._output.suffix.lower()
        try:
            with TableWriter(temporary, ending, pa.schema([*schema, *tail])) as writer:
                for table in _read(files, schema):
                    top = _top(table, columns)
                    abstained = ~(top >= threshold)  # also where there is no text
                    repeated = [
                        pa.repeat(pa.scalar(text, pa.large_string()), len(top))
                        for text in constants.values()
                    ]
                    arrays = [*table.columns, pa.array(abstained), *repeated]
                    writer.write(pa.table(arrays, schema=pa.schema([*schema, *tail])))
                    n_rows += len(top)
                    n_without += int(np.isnan(top).sum())
                    n_abstained += int(abstained.sum())
                    given = table.column(f"{columns.prefix}label").filter(pa.array(~abstained))
                    for pair in given.value_counts().to_pylist():
                        counts[pair["values"]] += pair["counts"]
            write_atomically(self._folder / _WRITTEN, sha256_of(temporary).encode())
            temporary.replace(self._output)
        finally:
            temporary.unlink(missing_ok=True)
        return Summary(n_rows, n_without, n_abstained, counts)

    def _file(self, index: int) -> Path:
        return self._folder / f"{index:07d}.parquet"


def forget_blocks(output: Path) -> None:
    """Delete the blocks of an output that is complete and logged."""
    shutil.rmtree(_folder(output), ignore_errors=True)


def _folder(output: Path) -> Path:
    return output.with_name(f"{output.name}.parts")


def _read(files: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of all blocks, in parts with one schema."""
    for file in files:
        with pq.ParquetFile(file, pre_buffer=False) as block:
            for batch in block.iter_batches(batch_size=_ROWS):
                yield fitted(pa.Table.from_batches([batch]), schema)


def _top(table: pa.Table, columns: Columns) -> Floats:
    """The probability of every row's label; nan without a text."""
    values = [table.column(name).to_numpy() for name in columns.probabilities]
    return np.asarray(np.max(values, axis=0), dtype=np.float64)
