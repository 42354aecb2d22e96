"""Which rows a bed has, by its channels; and what is told of the rows of further leads. Pure.

The first row of a modality, keyed by its name ("ECG"), shows the lead that serves, whichever that is: numbers, alarms,
estimates and bad news are of the modality and belong to that row alone. Each further lead that the recording or device
sends has a row of its own ("ECG:V5"): its samples, its cells, its absence, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.signals.modalities import MODEL_MODALITIES, Modality
from streams.control import ChannelInfo
from streams.records import LeadState
from ui.bed.layout import FURTHER, LONGEST_KEY

Row = tuple[str, Modality, ChannelInfo | None]
"""Key, modality, and its channel: None where none is connected."""


def rows_of(channels: Sequence[ChannelInfo]) -> list[Row]:
    """One for each connected channel, in the order of the screen, and one for each modality of the model also where
    nothing is connected. A further lead is known by its label, so that a layout finds it in the next recording too."""
    rows: list[Row] = []
    for modality in Modality:
        mine = sorted((c for c in channels if c.modality == modality), key=lambda channel: channel.lead)
        taken: set[str] = set()
        for number, channel in enumerate(mine):
            key = modality.value if number == 0 else _key(channel, taken)
            taken.add(key)
            rows.append((key, modality, channel))
        if not mine and modality in MODEL_MODALITIES and channels:
            rows.append((modality.value, modality, None))
    return rows


def _key(channel: ChannelInfo, taken: set[str]) -> str:
    key = f"{channel.modality.value}{FURTHER}{channel.label or channel.lead}"[:LONGEST_KEY]
    return key if key not in taken else f"{key[: LONGEST_KEY - 4]} #{channel.lead}"


def lead_name(key: str) -> str:
    """What a further lead is called beside its modality, "" for the first row of one.

    >>> lead_name("ECG:V5"), lead_name("ECG:SNUADC/ECG_V5"), lead_name("ECG:ECG lead 2"), lead_name("ECG")
    ('V5', 'V5', '2', '')
    """
    modality, _, label = key.partition(FURTHER)
    name = label.rsplit("/", 1)[-1]
    rest = name[len(modality) :].lstrip(" _-") if name.upper().startswith(modality) else name
    return rest.removeprefix("lead ") or name


def lead_absence(leads: Mapping[str, Sequence[LeadState]], modality: str, lead: int) -> str | None:
    """Why a lead is not measured, as ``StateRecord.leads`` tells it: "" where it is; None where nothing is told."""
    return next((said.absence for said in leads.get(modality, ()) if said.lead == lead), None)
