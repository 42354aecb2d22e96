"""Published methods as their papers have them, side by side: five folds by patient, one budget, a linear classifier.

``python -m benchmarks papers run`` trains and scores the folds, ``… tables`` pools them. See :mod:`.methods` for who is
compared and ``benchmarks/models/results/papers/README.md`` for what came of it.
"""

from benchmarks.papers.command import main

__all__ = ["main"]
