"""The settings dialog's file: one line changes, all else stays, and a wrong value is refused as on the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.signals.errors import BadInput
from monitor.config import in_force
from monitor.config_file import changed, users_own
from monitor.config_words import lines
from monitor.settings_store import StoredSettings
from ui.manners.store import ENTRIES

HAND = """# of theatre 3
[display] # the window
theme = "dark"   # for nights
# font_scale = 1.4
dpi = 96

[sound]
volume = 30
"""


def test_a_change_touches_its_line_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "ward.toml"
    path.write_text(HAND)
    store = StoredSettings(in_force(path, environment={}))
    store.save({"display.theme": "light", "display.font_scale": 1.25, "sound.beat_tone": False})
    assert (
        path.read_text()
        == HAND.replace('theme = "dark"', 'theme = "light"').replace("dpi = 96\n", "dpi = 96\nfont_scale = 1.25\n")
        + "beat_tone = false\n"
    )
    again = in_force(path, environment={}).keys
    assert (again.display.theme, again.display.font_scale, again.display.dpi) == ("light", 1.25, 96)
    assert (again.sound.beat_tone, again.sound.volume) == (False, 30)
    assert store.setting("display.theme").value == "light"
    assert [p.name for p in tmp_path.iterdir()] == ["ward.toml"], "nothing is left beside it"


def test_line_ends_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "ward.toml"
    path.write_bytes(HAND.replace("\n", "\r\n").encode())
    StoredSettings(in_force(path, environment={})).save({"display.theme": "light", "display.font_scale": 1.25})
    wanted = HAND.replace('"dark"', '"light"').replace("dpi = 96\n", "dpi = 96\nfont_scale = 1.25\n")
    assert path.read_bytes() == wanted.replace("\n", "\r\n").encode()


def test_without_a_file_the_users_own_is_made_and_read_from_then_on(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    force = in_force(environment={})
    assert force.file is None and next(lines(force)).endswith("would be read if it were there")
    store = StoredSettings(force)
    assert store.place == str(users_own()) and not users_own().exists()
    store.save({"display.theme": "colour-blind"})
    again = in_force(environment={})
    assert again.file == users_own() and again.keys.display.theme == "colour-blind"
    assert again.origin["display.theme"] == str(users_own())
    assert str(users_own()) in next(lines(again))
    tomllib.loads("\n".join(lines(again)))
    named = tmp_path / "other.toml"
    named.write_text("[display]\ntheme = 'light'\n")
    assert in_force(named, environment={}).keys.display.theme == "light", "one that is named is read in its place"


def test_a_wrong_value_is_refused_with_the_sentence_of_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "ward.toml"
    path.write_text("[display]\nfont_scale = 3\n")
    with pytest.raises(BadInput) as by_hand:
        in_force(path, environment={})
    path.write_text(HAND)
    store = StoredSettings(in_force(path, environment={}))
    with pytest.raises(BadInput) as by_dialog:
        store.save({"display.theme": "light", "display.font_scale": 3.0})
    assert str(by_dialog.value) == str(by_hand.value).replace("found 3;", "found 3.0;")
    with pytest.raises(BadInput, match="as a number"):
        store.save({"display.font_scale": "large"})
    with pytest.raises(BadInput, match="as a number"):
        store.save({"display.font_scale": float("nan")})
    assert path.read_text() == HAND and store.setting("display.theme").value == "dark", "all of it or nothing"


def test_what_flags_and_variables_hold_is_fixed(tmp_path: Path) -> None:
    path = tmp_path / "ward.toml"
    path.write_text(HAND)
    force = in_force(path, {"sound.on": False}, {"VIGIL_DISPLAY_DPI": "120"})
    store = StoredSettings(force)
    assert store.setting("sound.on").fixed_by == "--mute"
    assert store.setting("display.dpi").fixed_by == "VIGIL_DISPLAY_DPI"
    assert store.setting("display.theme").fixed_by == store.setting("recorder.folder").fixed_by == ""
    assert store.setting("display.theme").choices == ("dark", "light", "colour-blind")


def test_every_entry_of_the_dialog_is_a_key() -> None:
    store = StoredSettings(in_force(environment={}))
    for entries in ENTRIES.values():
        for entry in entries:
            assert store.setting(entry.key).expects


def test_a_file_that_cannot_be_changed_by_the_line_or_written_says_so(tmp_path: Path) -> None:
    long = '[recorder]\nfolder = """\nx"""\n'
    with pytest.raises(BadInput, match="by hand"):
        changed(long, {"recorder.folder": "y"})
    blocked = tmp_path / "file"
    blocked.write_text("")
    force = in_force(environment={})
    store = StoredSettings(force)
    store._file = blocked / "settings.toml"
    with pytest.raises(BadInput, match="can be written"):
        store.save({"display.theme": "light"})


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)


@given(words, words, st.sampled_from(["", "# c", ' # "x" # y', "   #='"]))
def test_any_text_goes_in_and_comes_out(old: str, new: str, comment: str) -> None:
    text = changed("", {"recorder.folder": old}).rstrip("\n") + comment + "\n[log]\njson = true\n"
    try:
        out = changed(text, {"recorder.folder": new})
    except BadInput:  # never of what it wrote itself
        raise AssertionError(text) from None
    assert tomllib.loads(out) == {"recorder": {"folder": new}, "log": {"json": True}}
    assert comment in out
