"""The token ids of many texts as one flat array on disk, which every process maps into memory."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from project.stats.types import Codes
from project.support.checksums import damaged_files, report_damage, seal
from project.support.files import digest, new_folder
from project.support.models import quiet_transformers

Ids = npt.NDArray[np.int32]
_TOKENIZED_TOGETHER = 10_000  # texts


class Tokens:
    """Token ids of texts, in the order of the texts. Pickles as the path of its folder."""

    def __init__(self, folder: Path) -> None:
        """The tokens in a folder that :meth:`of` wrote; its name is their digest."""
        self.folder = folder

    @classmethod
    def of(
        cls,
        texts: list[str],
        identity: object,
        parent: Path,
        encode: Callable[[list[str]], Iterable[tuple[list[int], int]]],
    ) -> Tokens:
        """The tokens of ``texts``, computed only if they are not on disk yet.

        Parameters
        ----------
        texts
            The texts.
        identity
            Everything that can change the tokens, JSON-ready.
        parent
            Folder of all tokens.
        encode
            Returns for every text its ids, and their number before they were cut.
        """
        folder = parent / digest([identity, texts])
        if damaged := damaged_files(folder):
            report_damage(folder, damaged, "The texts are tokenised again.")
            shutil.rmtree(folder)
        if not folder.is_dir():
            temporary = new_folder(parent, folder.name)
            try:
                _write(temporary, encode(texts))
                temporary.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process wrote the same
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
        """The number of ids of each text at ``indices``, ``(n,)``."""
        return np.diff(self._ends, prepend=0)[indices]

    def n_cut(self, indices: Codes) -> int:
        """How many of the texts at ``indices`` were cut."""
        uncut = np.load(self.folder / "whole.npy", mmap_mode="r", allow_pickle=False)[indices]
        return int((uncut > self.lengths(indices)).sum())

    @functools.cached_property
    def _ids(self) -> Ids:
        ids: Ids = np.load(self.folder / "ids.npy", mmap_mode="r", allow_pickle=False)
        return ids

    @functools.cached_property
    def _ends(self) -> Codes:
        return np.load(self.folder / "ends.npy", allow_pickle=False)


def encode(
    tokenizer: Any, texts: Sequence[str], max_length: int
) -> Iterator[tuple[list[int], int]]:
    """Token ids of every text, cut to ``max_length``, and their number before the cut.

    Special tokens that are written in a text are read as plain characters.
    """
    for start in range(0, len(texts), _TOKENIZED_TOGETHER):
        batch = list(texts[start : start + _TOKENIZED_TOGETHER])
        with quiet_transformers():
            uncut = tokenizer(batch, split_special_tokens=True)["input_ids"]
            # Long texts are tokenised again, so that the cut keeps the special tokens.
            cut = {
                index: tokenizer(
                    batch[index],
                    split_special_tokens=True,
                    truncation=True,
                    max_length=max_length,
                )["input_ids"]
                for index, ids in enumerate(uncut)
                if len(ids) > max_length
            }
        for index, ids in enumerate(uncut):
            yield cut.get(index, ids), len(ids)


def _write(folder: Path, encoded: Iterable[tuple[list[int], int]]) -> None:
    """Write the ids of all texts, where each text ends, and the lengths before the cut."""
    rows = []
    uncut_lengths = []
    for ids, uncut_length in encoded:
        rows.append(np.array(ids, dtype=np.int32))
        uncut_lengths.append(uncut_length)
    flat = np.concatenate([np.empty(0, np.int32), *rows])
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    np.save(folder / "ids.npy", flat, allow_pickle=False)
    np.save(folder / "ends.npy", ends, allow_pickle=False)
    np.save(folder / "whole.npy", np.array(uncut_lengths, dtype=np.int64), allow_pickle=False)
    seal(folder)
