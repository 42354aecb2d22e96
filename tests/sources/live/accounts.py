"""Ticks of a source whose samples are their own count: what arrived, where in time, and that the wire takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from streams.codec import chunk_values, decode, encode
from streams.records import WaveTick

SECOND = 1_000_000_000


@dataclass
class Account:
    """Of one channel: sample numbers in the order of the ticks, their event times (s), their indices and epochs."""

    values: np.ndarray
    times: np.ndarray
    indices: np.ndarray
    epochs: np.ndarray


def check_grid(ticks: Sequence[WaveTick]) -> None:
    """No hole in the grid, sequence numbers from 0 in every epoch, each message one that decodes."""
    for tick in ticks:
        assert decode(encode(tick)) == tick
    for a, b in pairwise(ticks):
        if a.epoch == b.epoch:
            assert b.start_ns == a.end_ns and b.tick_seq == a.tick_seq + 1
        else:
            assert b.epoch == a.epoch + 1 and b.tick_seq == 0 and b.start_ns >= a.end_ns


def account(ticks: Sequence[WaveTick], modality: str, lead: int = 0) -> Account:
    parts: list[tuple[np.ndarray, ...]] = [(np.empty(0),) * 4]
    for tick in ticks:
        for chunk in tick.chunks:
            if (chunk.modality, chunk.lead) != (modality, lead):
                continue
            values = chunk_values(chunk.data).astype(float)
            index = chunk.first_index + np.arange(len(values))
            times = (chunk.origin_ns + index * 1e9 / chunk.rate_hz) / SECOND
            parts.append((values, times, index.astype(float), np.full(len(values), float(tick.epoch))))
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    there = np.isfinite(joined[0])
    return Account(*(column[there] for column in joined))
