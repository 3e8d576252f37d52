"""The encoder of an experiment, loaded once before anything is paid for."""

from __future__ import annotations

from entrypoints.wiring.terminal import print_line
from project.config.finetune import FinetuneConfig
from project.training.encoder import Encoder


def find_encoder(config: FinetuneConfig) -> Encoder:
    """:meth:`Encoder.find`; prints what the user should know of the encoder."""
    encoder = Encoder.find(config)
    if encoder.note:
        print_line(f"note: {encoder.note}")
    return encoder
