"""The bedside display: PySide6, drawn incrementally; knows the stream only as a feed to poll and a control to call.

Start with ``ui/main_window.py``. What can be tested without a screen has no Qt in it: ``state``, ``lanes``,
``buffers``, ``playout``, ``geometry``, ``scales``, ``polyline``, ``readouts``, ``prediction_view``,
``alarm_view``, the ``*words``.
"""
