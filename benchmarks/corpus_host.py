"""What the driver of `-e predict` does for a corpus, without a classifier: it reads and writes.

    python -m benchmarks.corpus_host                    # 200,000 and 1,000,000 texts, 3 minutes
    python -m benchmarks.corpus_host --texts 20000

Texts have about 200 characters, and four classes whose probabilities are drawn at random. The rows
are what the driver of a cluster has to do, however many nodes compute: they are its limit.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import machine_lines
from project.config.predict import PredictConfig
from project.data.corpus import open_corpus, text_list
from project.data.labelled_blocks import Columns, LabelledBlocks, labelled

_LABELS = ("books", "clothing", "electronics", "household")
_WORDS = np.array(["cotton", "paperback", "kettle", "charger", "lamp", "used", "new", "boxed"])
_WORDS_OF_A_TEXT = 30
_WRITTEN = 50_000  # texts at a time


def write_corpus(path: Path, n: int) -> None:
    """A corpus of ``n`` texts with an id."""
    random = np.random.default_rng(0)
    schema = pa.schema([("id", pa.int64()), ("text", pa.large_string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, n, _WRITTEN):
            rows = range(start, min(start + _WRITTEN, n))
            words = random.choice(_WORDS, (len(rows), _WORDS_OF_A_TEXT))
            texts = [" ".join(row) for row in words]
            writer.write_table(pa.table({"id": [*rows], "text": texts}, schema=schema))


def measure(folder: Path, n: int) -> str:
    """Read and write ``n`` texts; returns a line with what it took."""
    source, output = folder / f"{n}.parquet", folder / f"{n}-labels.parquet"
    write_corpus(source, n)
    config = PredictConfig(data=str(source), output=str(output))
    columns = Columns(_LABELS, "", has_agreement=False)
    random = np.random.default_rng(0)
    clock = [time.perf_counter()]
    corpus = open_corpus(config, "text", columns.names)
    clock.append(time.perf_counter())
    blocks = LabelledBlocks(output, {"data": corpus.sha256})
    n_blocks = n_bytes = 0
    for index, table in enumerate(corpus.blocks(config.block_size)):
        texts = text_list(table, corpus.text_column)
        probabilities = random.dirichlet(np.ones(len(_LABELS)), len(texts))[None]
        blocks.write(index, labelled(table, [True] * len(texts), probabilities, columns))
        n_blocks += 1
    clock.append(time.perf_counter())
    n_bytes = sum(path.stat().st_size for path in Path(f"{output}.parts").iterdir())
    blocks.finish(columns, threshold=0.0, model="models:/m", run_id="r")
    clock.append(time.perf_counter())
    blocks.close()
    check, label, finish = np.diff(clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"| {n:,} | {n / check:,.0f} | {n / label:,.0f} | {n / finish:,.0f} | {peak:,.0f} MB "
        f"| {source.stat().st_size / n:.0f} | {n_bytes / n:.0f} "
        f"| {output.stat().st_size / n:.0f} | {n_blocks:,} |"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.corpus_host",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--texts", type=int, nargs="+", default=[200_000, 1_000_000])
    options = parser.parse_args(arguments)
    head = (
        "| texts | checked, texts/s | labelled, texts/s | joined, texts/s | peak | bytes a text: "
        "input | blocks | output | files |"
    )
    sys.stdout.write("\n".join([*machine_lines(), "", head, "|" + "---|" * 9, ""]))
    for n in options.texts:
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(measure(Path(folder), n) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
