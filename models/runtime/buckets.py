"""Batches of any size on engines of static shapes: which bucket, how to split, how to pad. Pure functions.

A padding row is a bed of which nothing is known: every frame absent, context and memory NaN, signals 0. That is a case
the model was trained for, so a padded row costs time and never a number that is not finite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from models.runtime.backend import Arrays
from models.runtime.spec import MEMORY_INPUT

_UNKNOWN = frozenset({"context", MEMORY_INPUT})  # inputs in which NaN means "never"


def bucket_for(batch: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds ``batch`` rows, the largest where none does. ValueError for an empty batch."""
    if batch < 1:
        raise ValueError(f"a batch of {batch} rows")
    fitting = [bucket for bucket in buckets if bucket >= batch]
    return min(fitting) if fitting else max(buckets)


def portions(batch: int, buckets: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Cuts ``batch`` rows into (rows, bucket), in order; only what is over the largest bucket is split.

    The rest goes into the one bucket that holds it, not into several smaller ones: a run costs its launches, hardly
    its rows. ValueError for an empty batch.
    """
    if batch < 1:
        raise ValueError(f"a batch of {batch} rows")
    largest = max(buckets)
    for begin in range(0, batch, largest):
        rows = slice(begin, min(begin + largest, batch))
        yield rows, bucket_for(rows.stop - rows.start, buckets)


def rows_of(arrays: Arrays, rows: slice) -> Arrays:
    """The same rows of every array (views)."""
    return {name: values[rows] for name, values in arrays.items()}


def write_padding(arrays: Arrays, begin: int) -> None:
    """Makes the rows from ``begin`` on padding, in place: for input buffers that are used again and again."""
    for name, values in arrays.items():
        values[begin:] = np.nan if name in _UNKNOWN else 0


def padded(inputs: Arrays, bucket: int) -> Arrays:
    """The inputs with padding rows up to ``bucket``; the same arrays where there is nothing to add."""
    batch = len(inputs["presence"])
    if batch == bucket:
        return inputs
    if batch > bucket:
        raise ValueError(f"{batch} rows for a bucket of {bucket}")
    larger: Arrays = {name: np.empty((bucket, *v.shape[1:]), v.dtype) for name, v in inputs.items()}
    for name, values in inputs.items():
        larger[name][:batch] = values
    write_padding(larger, batch)
    return larger


def joined(parts: Sequence[Arrays]) -> Arrays:
    """The outputs of successive portions as those of one batch."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
