"""Tables written one after another to one file: Parquet, CSV or JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


class TableWriter:
    """Writes tables to a file in the format that the output's ending names."""

    def __init__(self, path: Path, ending: str, schema: pa.Schema) -> None:
        """``ending``: .parquet, .csv or .jsonl; ``schema``: of all tables."""
        self._path = path
        self._ending = ending
        self._is_first = True
        self._parquet: Any = None
        if ending == ".parquet":
            self._parquet = pq.ParquetWriter(path, schema, compression="zstd")

    def __enter__(self) -> TableWriter:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Complete the file."""
        if self._parquet:
            self._parquet.close()

    def write(self, table: pa.Table) -> None:
        """Append a table."""
        if self._parquet:
            self._parquet.write_table(table)
            return
        frame = table.to_pandas()
        with self._path.open("a", encoding="utf-8", newline="") as file:
            if self._ending == ".csv":
                frame.to_csv(file, index=False, header=self._is_first, lineterminator="\n")
            else:
                frame.to_json(
                    file, orient="records", lines=True, force_ascii=False, date_format="iso"
                )
        self._is_first = False
