"""The lanes of a bed as a layout wants them: which, in what order, drawn how, and how high. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from models.signals.modalities import Modality
from ui.bed.lanes import Lane
from ui.bed.layout import Layout, RowChoice
from ui.style.theme import LaneStyle
from ui.waves.scales import LaneScale

_EMPTY_SHARE = 0.45
_CROWDED, _GAIN_SHARE = (
    6,
    1.4,
)  # among so many rows one at a fixed gain, which would be cut off, gets more if it needs it
_LEAST_HEIGHT, _AROUND_WAVE = 112.0, 36.0  # of a lane with its number beside it; of header and strip: interface pixels


class Arrangement:
    """lanes: all of a bed. ``shown``: those on show, from the top; ``hidden``: the others. What is drawn otherwise than
    before is changed in the lanes."""

    def __init__(self, lanes: Sequence[Lane], layout: Layout, styles: Mapping[Modality, LaneStyle]) -> None:
        self.all = list(lanes)
        arranged = layout.arranged([lane.key for lane in lanes])
        self._choices: dict[str, RowChoice] = {choice.key: choice for choice in arranged}
        by_key = {lane.key: lane for lane in lanes}
        self.shown = [by_key[choice.key] for choice in arranged if choice.shown]
        self.hidden = [lane for lane in lanes if not self._choices[lane.key].shown]
        for lane in lanes:
            lane.draw_as(_styled(styles[lane.modality], self._choices[lane.key]))

    def scaled(self, scales: dict[str, LaneScale]) -> None:
        """Puts one into ``scales``, by key, for each lane, in the gain that is wanted."""
        for lane in self.all:
            scales.setdefault(lane.key, LaneScale(lane.style, 1.0)).want(self._choices[lane.key].gain)

    def heights(
        self, scales: Mapping[str, LaneScale], px_per_mm: float, unit: float
    ) -> tuple[list[float], list[float | None]]:
        """Weights of the lanes on show in the height there is (little where there is nothing to draw), and the device
        pixels that each needs, None for one that any height suits. ``unit``: an interface pixel in device pixels."""
        weights: list[float] = []
        needs: list[float | None] = []
        for lane in self.shown:
            height = self._choices[lane.key].height
            drawn = lane.connected or lane.estimate is not None
            mm = scales[lane.key].need_mm if drawn else None
            share = _GAIN_SHARE if mm is not None and len(self.shown) >= _CROWDED else 1.0
            weights.append(lane.style.height * height * (share if drawn else _EMPTY_SHARE))
            least = _LEAST_HEIGHT * unit if lane.first else 0.0
            need = None if mm is None else height * max(least, mm * px_per_mm + _AROUND_WAVE * unit)
            needs.append(need)
        return weights, needs


def _styled(style: LaneStyle, choice: RowChoice) -> LaneStyle:
    return msgspec.structs.replace(
        style,
        filter=style.filters.get(choice.filter, style.filter),
        speed_mm_s=choice.speed_mm_s or style.speed_mm_s,
    )
