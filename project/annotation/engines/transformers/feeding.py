"""How texts are fed to a model: how many at a time on which device, and what is queued ahead.

On a GPU, forward passes are queued before the answers to the ones before are read, so that the GPU
computes while the host tokenises, copies and writes. Neither ``torch.compile`` nor CUDA graphs are
used: a decoder launches about 15 kernels a layer, in all some 2 to 3 ms for 30 layers, and the host
runs ahead of the GPU. A pass over 8,192 tokens takes 190 ms and more with 7 billion weights. Small
models get longer rows instead (:func:`fastest_batch`). Compiling takes half a minute and more for
each of many shapes, which a run of minutes does not earn back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from project.stats.types import Floats
from project.support.gpu_dtype import gpu_dtype, lowest_capability
from project.support.machine import faster_cpu_dtype

BATCHES = (8192, 16384, 32768, 65536)
"""Tokens of a forward pass on a GPU that are tried, from the least on."""

_MIN_GAIN = 1.05  # by which a larger batch must be faster


class Feeding(NamedTuple):
    """How the texts of an annotation reach the model.

    Attributes
    ----------
    device
        ``cuda`` or ``cpu``.
    batch_tokens
        What ``annotator_batch_tokens=auto`` begins with.
    shard_size
        Texts of one call of the engine.
    first
        Texts that are tokenised before the first forward pass; 0 for all of them. The others are
        tokenised while the GPU works on these.
    queued
        Forward passes whose answers may be outstanding; 0 where a pass ends with its answers. Where
        passes are queued, answers are also handed over as they come, pass by pass.
    split
        See :class:`project.annotation.engines.transformers.packed.PackedModel`.
    """

    device: str
    batch_tokens: int
    shard_size: int
    first: int
    queued: int
    split: bool


CPU = Feeding("cpu", 1024, shard_size=64, first=0, queued=0, split=True)
"""Passes are short, nothing is queued, and a shard is on disk within seconds."""

GPU = Feeding("cuda", BATCHES[0], shard_size=2048, first=512, queued=4, split=False)
"""A shard fills many passes: 2,048 texts of 61 tokens fill 15 of 8,192."""


def this_machine() -> Feeding:
    """How texts are fed on this machine."""
    return GPU if torch.cuda.is_available() else CPU


def auto_dtype() -> str:
    """What ``annotator_dtype=auto`` stands for on this machine."""
    capability = lowest_capability()
    return gpu_dtype(capability) if capability else faster_cpu_dtype()


class Transfer:
    """Numbers on their way from the model's device."""

    def __init__(self, values: torch.Tensor) -> None:
        """Begin to copy ``values``; on a GPU without waiting for them."""
        self._values = values
        self._event: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def wait(self) -> Floats:
        """The numbers, once they are here."""
        if self._event is not None:
            self._event.synchronize()
        numbers: Floats = self._values.double().numpy()
        return numbers


def fastest_batch(seconds: Callable[[int], float], sizes: Sequence[int] = BATCHES) -> int:
    """The size of a batch whose tokens are computed fastest, and the smallest of equals.

    Parameters
    ----------
    seconds
        What a batch of so many tokens takes. It may raise ``torch.cuda.OutOfMemoryError``.
    sizes
        Sizes to try, rising. A size that does not gain 5 % over the one before ends the search:
        beyond the point where the GPU is busy, larger batches only take more memory.
    """
    best = sizes[0]
    best_rate = 0.0
    for size in sizes:
        try:
            rate = size / seconds(size)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        if rate < _MIN_GAIN * best_rate:
            break
        best, best_rate = size, rate
    return best


def slices(n: int, first: int) -> Iterator[range]:
    """The indices of ``n`` texts in the parts that are tokenised together."""
    if 0 < first < n:
        yield range(first)
        yield range(first, n)
    else:
        yield range(n)


def chunks(
    lengths: Sequence[int],
    indices: Sequence[int],
    *,
    n_extra: int,
    batch_tokens: int,
    padded: bool,
) -> Iterator[list[int]]:
    """Some of ``indices`` in chunks for one forward pass each, the short texts first.

    A chunk has at most ``batch_tokens`` tokens, and all chunks have about the same size.

    Parameters
    ----------
    lengths
        Tokens of every text behind the prefix.
    indices
        The texts to read.
    n_extra
        Tokens that follow each text.
    batch_tokens
        Most tokens of a chunk; a longer text is a chunk alone.
    padded
        Each text is padded to the longest of its chunk; padding then at most doubles a chunk.
    """
    # Texts of similar length share a chunk, so that little of it is padding.
    order = sorted(indices, key=lambda index: lengths[index])
    sizes = [lengths[index] + n_extra for index in order]
    n_chunks = max(1, -(-sum(sizes) // batch_tokens))
    average = max(1, sum(sizes)) / n_chunks
    chunk: list[int] = []
    n_tokens = 0
    n_before = 0  # tokens in the chunks before
    n_full = 0
    for index, size in zip(order, sizes, strict=True):
        # A text is added if that brings the chunk closer to the average size. Without padding the
        # end of a chunk is where it would be if all were average, which leaves no small last one.
        end = average if padded else average * (n_full + 1) - n_before
        is_full = n_tokens + size > min(end + size / 2, batch_tokens)
        is_mostly_padding = padded and (len(chunk) + 1) * size > 2 * (n_tokens + size)
        if chunk and (is_full or is_mostly_padding):
            yield chunk
            n_before += n_tokens
            n_full += 1
            chunk = []
            n_tokens = 0
        chunk.append(index)
        n_tokens += size
    if chunk:
        yield chunk


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """Inside, float32 is multiplied as float32, whatever the process has set for training.

    TensorFloat-32 is several times as fast on a GPU and keeps 10 bits of 23: it would move log
    probabilities as much as float16 does, and float32 is what users choose to rule that out.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
