"""The keyboard as a table: key, what it does, and the name of the method. The help overlay reads it.

The method is one of :class:`ui.window.operator.Operator`, or of the main window where it is about the window itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Keys that call the method ``action``, with ``argument`` unless that is None."""

    keys: tuple[str, ...]
    words: str
    action: str
    argument: float | str | None = None
    group: str = "Replay"


SHORTCUTS: tuple[Shortcut, ...] = (
    Shortcut(("Space",), "pause or play", "toggle_pause"),
    Shortcut(("Left",), "back 10 s (of a live bed: look back)", "seek_by", -10.0),
    Shortcut(("Right",), "forward 10 s", "seek_by", 10.0),
    Shortcut(("N",), "next data, from a stretch without any", "skip_gap"),
    Shortcut(("]",), "next event that is known", "seek_mark", 1.0),
    Shortcut(("[",), "event before", "seek_mark", -1.0),
    Shortcut((".",), "step 1 s (while paused)", "step", 1.0),
    Shortcut(("+", "="), "faster", "change_speed", 1.0),
    Shortcut(("-",), "slower", "change_speed", -1.0),
    Shortcut(("H",), "look back in the recording, and back to live", "toggle_history", None, "Past of a live bed"),
    Shortcut(("Shift+Left",), "1 min back", "look_by", -60.0, "Past of a live bed"),
    Shortcut(("Shift+Right",), "1 min on", "look_by", 60.0, "Past of a live bed"),
    Shortcut(("M",), "trends, and back to the waves", "turn_page", "trends", "Trends"),
    Shortcut(("Ctrl+Left",), "cross-hair back", "on_trends", "back", "Trends"),
    Shortcut(("Ctrl+Right",), "cross-hair on", "on_trends", "on", "Trends"),
    Shortcut(("Ctrl+Shift+Left",), "half a page back", "on_trends", "leap back", "Trends"),
    Shortcut(("Ctrl+Shift+Right",), "half a page on", "on_trends", "leap on", "Trends"),
    Shortcut(("Ctrl+Up",), "more time", "on_trends", "longer", "Trends"),
    Shortcut(("Ctrl+Down",), "less time", "on_trends", "shorter", "Trends"),
    Shortcut(("Ctrl+Home",), "all that was seen", "on_trends", "all", "Trends"),
    Shortcut(("Ctrl+End",), "now, and go on with it", "on_trends", "now", "Trends"),
    Shortcut(("Return", "Enter"), "go to the cross-hair", "on_trends", "go", "Trends"),
    Shortcut(("Ctrl+E",), "save as PNG, SVG and CSV", "on_trends", "save", "Trends"),
    Shortcut(("Z",), "freeze the waves, and let them go on", "toggle_freeze", None, "Frozen waves"),
    Shortcut(("Home",), "the first page there is (← →: page by page)", "to_begin", None, "Frozen waves"),
    Shortcut(("End",), "where it was frozen, or the newest page", "to_end", None, "Frozen waves"),
    Shortcut(("C",), "calipers (or drag), their next line", "next_line", None, "Frozen waves"),
    Shortcut(("Shift+C",), "calipers of the next lane", "next_lane", None, "Frozen waves"),
    *(
        Shortcut(
            (f"Alt+{shift}{key}",),
            f"{words}, ten steps" if shift else words,
            action,
            by * far,
            "Frozen waves",
        )
        for key, words, action, by in (
            ("Left", "line back", "move_across", -1.0),
            ("Right", "line on", "move_across", 1.0),
            ("Up", "line up", "move_up", 1.0),
            ("Down", "line down", "move_up", -1.0),
        )
        for shift, far in (("", 1.0), ("Shift+", 10.0))
    ),
    Shortcut(("K",), "line snaps to the wave (Shift while dragging)", "snap", None, "Frozen waves"),
    Shortcut(("Del",), "no calipers", "clear_calipers", None, "Frozen waves"),
    Shortcut(("Y",), "mark this moment, with a word if wanted", "mark_now", None, "Screen"),
    Shortcut(("Ctrl+S",), "strip as PDF: the page that stands, else 10 s", "print_strip", None, "Screen"),
    Shortcut(("Ctrl+Shift+S",), "strip as PDF: the last 30 s", "print_strip", 30.0, "Screen"),
    Shortcut(("Ctrl+D",), "the same 10 s or page as CSV", "save_table", None, "Screen"),
    Shortcut(("Esc",), "close what is open; else back to live", "escape", None, "Screen"),
    *(
        Shortcut((str(row),), f"drop or restore the sensor of row {row}", "toggle_sensor", float(row), "Sensors")
        for row in range(1, 6)
    ),
    Shortcut(("T",), "draw the truth of what is withheld (replay)", "toggle_truth", None, "Sensors"),
    Shortcut(("G",), "ECG gain up", "change_gain", 1.0, "Waves"),
    Shortcut(("Shift+G",), "ECG gain down", "change_gain", -1.0, "Waves"),
    Shortcut(("E",), "EEG more µV/cm", "change_sensitivity", 1.0, "Waves"),
    Shortcut(("Shift+E",), "EEG fewer µV/cm", "change_sensitivity", -1.0, "Waves"),
    Shortcut(("R",), "rows: which, order, height, speed, filter, layouts", "choose_rows", None, "Waves"),
    Shortcut(("Shift+R",), "next saved layout of rows", "next_layout", None, "Waves"),
    Shortcut(("Ctrl+R",), "size of this screen, by a ruler", "measure_screen", None, "Waves"),
    Shortcut(("W",), "next sweep speed (mm/s)", "next_sweep_speed", None, "Waves"),
    Shortcut(("V",), "louder", "change_volume", 1.0, "Sound"),
    Shortcut(("Shift+V",), "softer", "change_volume", -1.0, "Sound"),
    Shortcut(("Ctrl+B",), "beat tone on or off", "toggle_beat_tone", None, "Sound"),
    Shortcut(("Shift+M",), "all sound off, and on again", "toggle_sound", None, "Sound"),
    Shortcut(("Ctrl+O",), "open a file in the place of this run", "open_other", "file", "Screen"),
    Shortcut(("Ctrl+N",), "start page: demo, file, stream, recent ones", "open_other", "start", "Screen"),
    Shortcut(("PgDown",), "next bed", "next_bed", 1.0, "Screen"),
    Shortcut(("PgUp",), "bed before", "next_bed", -1.0, "Screen"),
    Shortcut(("B",), "central view of all beds, and back", "turn_page", "central", "Screen"),
    Shortcut(("Shift+B",), "central view by name, or by urgency", "sort_central", None, "Screen"),
    Shortcut(("A",), "acknowledge this bed's alarms (no flash, no sound)", "acknowledge", None, "Alarms"),
    Shortcut(("L",), "list and log of alarms", "toggle_alarms", None, "Alarms"),
    Shortcut(("Up",), "earlier in the log", "scroll_alarms", 3.0, "Alarms"),
    Shortcut(("Down",), "later in the log", "scroll_alarms", -3.0, "Alarms"),
    Shortcut(("Shift+L",), "limits of alarms", "toggle_limits", None, "Alarms"),
    Shortcut(("P",), "audio paused for 2 min, and back", "silence_alarms", "AUDIO PAUSED", "Alarms"),
    Shortcut(("Shift+P",), "audio off (twice), and back", "silence_alarms", "AUDIO OFF", "Alarms"),
    Shortcut(("Ctrl+P",), "alarms paused for 2 min, and back", "silence_alarms", "ALARM PAUSED", "Alarms"),
    Shortcut(("Ctrl+Shift+P",), "alarms off (twice), and back", "silence_alarms", "ALARM OFF", "Alarms"),
    Shortcut(("X",), "what each sensor is worth to the prediction", "toggle_worth", None, "Screen"),
    Shortcut(("Shift+X",), "the same, asked again", "ask_worth", None, "Screen"),
    Shortcut(("S",), "save a picture of the screen", "screenshot", None, "Screen"),
    Shortcut(("F", "F11"), "full screen", "toggle_full_screen", None, "Screen"),
    Shortcut(("Ctrl+,",), "settings", "open_settings", None, "Screen"),
    Shortcut(("Ctrl+Shift+R",), "save a problem report", "save_problem_report", None, "Screen"),
    Shortcut(("?", "F1"), "this help", "toggle_help", None, "Screen"),
    Shortcut(("Q",), "quit (twice while something runs)", "quit", None, "Screen"),
)

REPLAY_SPEEDS: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


def next_speed(speed: float | None, direction: int) -> float:
    """The neighbouring replay speed in the list; from "max" the nearest end."""
    if speed is None:
        return REPLAY_SPEEDS[-1]
    if direction > 0:
        return next((s for s in REPLAY_SPEEDS if s > speed + 1e-9), REPLAY_SPEEDS[-1])
    return next((s for s in reversed(REPLAY_SPEEDS) if s < speed - 1e-9), REPLAY_SPEEDS[0])
