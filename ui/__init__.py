"""The bedside display: PySide6, drawn incrementally; knows the stream only as a feed to poll and a control to call.

Start with ``ui/window/main_window.py``. The rooms, each knowing only those above it:

    style     colours, fonts, sizes and words
    manners   settings, the screen kept awake, sleep
    bed       what is known of a bed and what is said of it: no Qt, no clock
    sound     what is heard: bursts, beat tone, the way to the loudspeaker
    waves     the sweep: geometry, scales and ink
    central   all beds as tiles
    panels    everything else that is painted
    trends    the page of trends, with pyqtgraph
    start     the start page: what can be opened, and how it goes
    window    the window itself: frames, keys, the way to the session
"""
