"""The words that say on the screen that the truth is drawn: one tag for the screen, one over each lane that has any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from ui.bed.lanes import Lane
from ui.bed.truth import Truth, truth_words
from ui.style.language import tr
from ui.style.look import Look, draw_text, elided
from ui.waves.geometry import Row

ON = "TRUTH ON (T)"


@dataclass(frozen=True, slots=True)
class TruthTags:
    """lanes: the words over each lane that has a truth, by its key; none has any while nothing is withheld."""

    lanes: tuple[tuple[str, str], ...] = ()


def truth_tags(lanes: Sequence[Lane], truth: Truth, drawn_from_s: float) -> TruthTags:
    """drawn_from_s: event time at which the paper begins: a truth of before is not on it."""
    found = []
    for lane in lanes:
        raw = lane.truth.raw if lane.truth is not None else None
        if raw is not None and raw.origin_s + raw.ring.end / raw.rate_hz > drawn_from_s:
            found.append((lane.key, truth_words(truth.score() if lane.key == "ABP" else None)))
    return TruthTags(tuple(found))


def paint_truth(
    painter: QPainter, area: QRectF, tags: TruthTags, rows: Mapping[str, Row], ratio: float, look: Look
) -> None:
    """rows: of the lanes by key, in device pixels; ``area`` in logical ones."""
    right, top = area.right() - 6 * look.unit, area.top() + 2 * look.unit
    taken = _tag(painter, tr(ON), right, top, area.width() / 2, look)
    for key, words in tags.lanes:
        row = rows.get(key)
        if row is not None:  # in the line of the lane's name; the tag of the screen stands in the first one
            beside = taken + 6 * look.unit if row.top == 0 else 0.0
            _tag(painter, words, right - beside, row.top / ratio + 2 * look.unit, area.width() * 0.66 - beside, look)


def _tag(painter: QPainter, words: str, right: float, top: float, room: float, look: Look) -> float:
    """A box of words that ends at ``right``; its width."""
    unit, font, ink = look.unit, look.font(11, True), look.colour("truth")
    words, metrics = elided(words, font, room), QFontMetricsF(font)
    box = QRectF(right - metrics.horizontalAdvance(words) - 12 * unit, top, 0.0, metrics.capHeight() + 8 * unit)
    box.setRight(right)
    ground = QColor(look.colour("background"))
    ground.setAlphaF(0.88)
    painter.fillRect(box, ground)
    painter.setPen(QPen(ink, 1.2 * unit))
    painter.drawRect(box)
    draw_text(painter, box.left() + 6 * unit, box.bottom() - 4 * unit, words, font, ink)
    return box.width()
