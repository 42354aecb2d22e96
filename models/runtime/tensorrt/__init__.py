"""TensorRT 10.x and 11.x and TensorRT-RTX, behind the protocol of :mod:`models.runtime.backend`.

In reading order: ``backend`` (from bundle to serving), ``engines`` and ``cache`` (where plans come from), ``process``
and ``build`` (plans are built and first opened in a process of their own), ``builder`` (what the library is asked to
build), ``session`` (what it is asked to run), ``device`` (CUDA), ``api`` (the library itself).
"""
