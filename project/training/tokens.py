"""The token ids of many texts as one flat array on disk: made once, mapped into memory by every process that reads them."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from project.stats.types import Codes
from project.support.files import digest, new_folder

Ids = npt.NDArray[np.int32]


class Tokens:
    """Token ids of texts, in the order in which the texts were given. Pickles as the path of its folder."""

    def __init__(self, folder: Path) -> None:
        """``folder`` as :meth:`of` made it; its name is the digest of the texts and of what tokenised them."""
        self.folder = folder

    @classmethod
    def of(
        cls,
        texts: list[str],
        maker: object,
        parent: Path,
        encode: Callable[[list[str]], Iterable[tuple[list[int], int]]],
    ) -> Tokens:
        """The tokens of ``texts`` in a folder below ``parent``; ``encode`` is called only if they are not there yet.

        ``encode`` gives for every text its ids and how many there were before they were cut; ``maker`` names all that can change them.
        """
        folder = parent / digest([maker, texts])
        if not folder.is_dir():
            temporary = new_folder(parent, folder.name)
            try:
                _write(temporary, encode(texts))
                temporary.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process has made the same
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return cls(folder)

    def __reduce__(self) -> tuple[type[Tokens], tuple[Path]]:
        return Tokens, (self.folder,)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> Ids:
        return self._ids[self._ends[index - 1] if index else 0 : self._ends[index]]

    def rows(self, indices: Iterable[int]) -> list[Ids]:
        """The ids of the texts at ``indices``: views of the mapped array, nothing is copied."""
        return [self[int(index)] for index in indices]

    def lengths(self, indices: Codes) -> Codes:
        """How many ids each of the texts at ``indices`` has, ``(n,)``."""
        return np.diff(self._ends, prepend=0)[indices]

    def cut(self, indices: Codes) -> int:
        """How many of the texts at ``indices`` were longer than the encoder reads."""
        return int(
            (
                np.load(self.folder / "whole.npy", mmap_mode="r", allow_pickle=False)[indices]
                > self.lengths(indices)
            ).sum()
        )

    @functools.cached_property
    def _ids(self) -> Ids:
        ids: Ids = np.load(self.folder / "ids.npy", mmap_mode="r", allow_pickle=False)
        return ids

    @functools.cached_property
    def _ends(self) -> Codes:
        return np.load(self.folder / "ends.npy", allow_pickle=False)


def _write(folder: Path, encoded: Iterable[tuple[list[int], int]]) -> None:
    rows, whole = [], []
    for ids, n in encoded:
        rows.append(np.array(ids, dtype=np.int32))
        whole.append(n)
    np.save(folder / "ids.npy", np.concatenate([np.empty(0, np.int32), *rows]), allow_pickle=False)
    np.save(
        folder / "ends.npy",
        np.cumsum([len(row) for row in rows], dtype=np.int64),
        allow_pickle=False,
    )
    np.save(folder / "whole.npy", np.array(whole, dtype=np.int64), allow_pickle=False)
