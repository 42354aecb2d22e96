"""Every word that can be said in another language has its German, and that fits."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtGui import QFontMetricsF
from PySide6.QtWidgets import QApplication

from models.runtime import risk_policy
from models.signals.depth_opinion import Doubt
from models.signals.modalities import Modality
from streams.alarms.limits import DEFAULT_LIMITS
from streams.limit_settings import LIMITED
from streams.mailbox import BEHIND, NOT_LOADED
from tests.ui.doors import in_our_style
from tests.ui.harness import Screen
from tests.ui.test_settings_dialog import Stored
from ui.bed import alarm_words, depth_words, findings_words, prediction_view, status_words, worth_view
from ui.bed.alarm_states import Mode
from ui.bed.bed_words import LIVES
from ui.bed.lane_words import REASONS
from ui.bed.lanes import LEAD_TITLE
from ui.bed.liveness import Life
from ui.bed.prediction_view import NOT_ALONE
from ui.bed.readouts import HELD
from ui.manners import dialog
from ui.manners.store import ENTRIES
from ui.panels import alarm_list, help_overlay, limits_panel, rows_dialog, sound_sign
from ui.panels.shortcuts import SHORTCUTS
from ui.panels.top_bar import _SILENCE_WIDTH, CAPTIONS
from ui.start import page
from ui.start.cards import Card
from ui.start.opening import Choice, Recent
from ui.style.language import LANGUAGES, catalogue, chosen, retold, speak, tr
from ui.style.theme import PRIORITIES, default_theme
from ui.style.words import ABSENCES, DISCLAIMER, ESTIMATED
from ui.trends.plots import PLOTS
from ui.trends.span import CHOICES
from ui.waves import paper_layer, truth_tags
from ui.window import freeze, layout_desk, manners
from ui.window.manners import Surroundings
from ui.window.menu import MENU
from ui.window.operator import LIVE_SOURCE
from ui.window.start_window import SMALLEST, StartWindow


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    yield
    speak("en")


SAME = {"ABP", "PPG", "EEG", "RESP", "CVP", "PAP", "ICP", "CO2", "AWP"}
"""Names that are the same in every language of ours, and need no line."""


def limit_texts() -> list[str]:
    """Of the alarms of limits, as the engine begins them: ``HR LOW``."""
    return [limit.text for limit in DEFAULT_LIMITS]


def used() -> set[str]:
    """What is given to ``tr``: words that stand there, and those of the tables."""
    found = {entry.title for entry in MENU}
    found |= {shortcut.words for shortcut in SHORTCUTS} | {shortcut.group for shortcut in SHORTCUTS}
    found |= {*ENTRIES, *(entry.label for entries in ENTRIES.values() for entry in entries)}
    found |= {help_overlay._FOOT, dialog.TITLE, dialog.AT_NEXT_START, *dialog._ON}
    found |= {*ABSENCES.values(), *REASONS, *HELD.values(), *LIVES.values(), *CAPTIONS.values(), NOT_ALONE}
    found |= {DISCLAIMER, page._KEYS, *(words for scheme in page.SCHEMES for words in scheme[1:])}
    found |= {mode.value for mode in Mode if mode.value} | {name.upper() for name in PRIORITIES}
    found |= {life.value.upper() for life in Life if life is not Life.LIVE} | {name for name, _ in CHOICES}
    found |= {words for plot in PLOTS for words in (plot.title, *(line.name for line in plot.lines))}
    found |= {*prediction_view.REASONS, *sound_sign.WORDS, sound_sign.KEYS, LIVE_SOURCE}
    found |= {*alarm_words.TEXTS, *alarm_words.REASONS, *alarm_words.NOW, *alarm_words.WHAT, *alarm_words.LIMIT_WORDS}
    found |= {*(text.split()[0] for text in limit_texts()), *(row.label for row in LIMITED.values()), *Modality} - SAME
    found |= {*findings_words._CALLS.values(), *(f"{words}?" for words in ("VF", "ASYSTOLE")), findings_words.NO_PULSE}
    found |= {*findings_words._RHYTHMS.values(), ESTIMATED, truth_tags.ON, depth_words.DEPTH, depth_words.UNCERTAIN}
    found |= {doubt.value for doubt in Doubt if doubt.value} | {words for _, words in status_words._STAGES}
    found |= {*status_words.SERVICE.values(), alarm_list._HINT, limits_panel._HINT, *limits_panel._COLUMNS} - {""}
    found |= {"priority", "delay", "latch", *PRIORITIES, *rows_dialog._HEADS, rows_dialog._KEYS, layout_desk.USUAL}
    found |= {words for words, _, _ in rows_dialog._BUTTONS} | {paper_layer._OFF_PAGE, paper_layer._SEAM}
    found |= {freeze._NOT_FROZEN, manners.NO_STORE, LEAD_TITLE}
    found |= {worth_view.MEASURED, worth_view.ASKING, worth_view.NO_ANSWER, worth_view.NOT_NOW, worth_view.NOT_ASKED}
    for path in Path("ui").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("tr", "both"):
                first = node.args[0]
                assert not isinstance(first, ast.JoinedStr), f"{path}: values go beside the words, not into them"
                if isinstance(first, ast.Constant):
                    found.add(first.value)
    return found


def test_every_word_has_a_translation_and_none_is_left_over() -> None:
    for language in LANGUAGES[1:]:
        words = catalogue(language)
        assert used() - set(words) == set()
        assert set(words) - used() == set()
        for english, other in words.items():
            assert other.strip() and sorted(re.findall(r"{[^}]+}", english)) == sorted(re.findall(r"{[^}]+}", other))


def test_what_has_no_translation_is_said_in_english() -> None:
    speak("de")
    assert tr("Quit") == "Beenden" and tr("never written") == "never written"
    assert tr("saved into {file}", file="{x}") == "gespeichert in {x}"
    speak("en")
    assert tr("Quit") == "Quit"


@pytest.mark.parametrize(
    ("system", "language"), [("de_AT", "de"), ("German_Germany", "de"), ("fr_FR", "en"), (None, "en")]
)
def test_auto_is_the_language_of_the_system(monkeypatch, system, language) -> None:
    monkeypatch.setattr("ui.style.language.locale.getlocale", lambda: (system, "UTF-8"))
    assert chosen("auto") == language and chosen("de") == "de"


def test_a_window_speaks_german_from_its_menu_to_its_settings(screen, qtbot) -> None:
    speak("de")
    s: Screen = screen(around=Surroundings(store=Stored()), size=(1024, 700))
    s.run_to(2.0)
    said = [action.text() for action in s.window.menu.actions()]
    assert "Schreibgeschwindigkeit" in said and "Beenden" in said and "Quit" not in said
    s.window.manners.open_settings()
    assert s.window.manners.settings.windowTitle() == "Einstellungen"
    assert s.window.manners.settings.save_button.text() == "Speichern"


def test_what_is_lost_is_said_in_german_and_kept_in_english(screen, qtbot, tmp_path) -> None:
    speak("de")
    s: Screen = screen(size=(1024, 700), kept=tmp_path)
    s.run_to(2.0)
    s.alive = False
    s.frames(400)
    assert s.window.face.banner.words.startswith("KEIN LEBENSZEICHEN VOM STROM seit ")
    (chip,) = s.window.ward.said
    assert chip.life_words == "NICHT LIVE" and chip.why_lost.startswith("KEIN LEBENSZEICHEN")
    s.window.desk.acknowledge()
    (entry,) = s.window.desk.journal(s.patient.bed).entries
    assert entry.words.startswith("NO SIGN OF LIFE FROM THE STREAM"), "files stay English"


@pytest.mark.parametrize("size", [SMALLEST, (1456, 819)])
def test_the_german_start_page_has_room_for_its_words(size: tuple[int, int]) -> None:
    speak("de")
    in_our_style()

    def nothing(*_: object) -> None:
        pass

    asks = page.Asks(*[nothing] * 6)
    window = StartWindow(
        default_theme(), 1.0, lambda look: page.StartPage(look, asks, ("demo",), tr("Esc quits")), nothing
    )
    window.resize(*size)
    window.show()
    shown, look = window.page, window.look
    left = [Recent(Choice(("/x/case_7.vital",)), 640.0, 0.0, False), Recent(Choice(("a", "b", "c")), None, 0.0, True)]
    shown.show_recents(tuple(left), 7200.0)
    shown.ensurePolished()
    QApplication.processEvents()
    cards = [one for row in shown.rows for one in row if isinstance(one, Card)] + shown.cards
    for card in cards:
        room = card.width() - 36 * look.unit
        assert QFontMetricsF(look.font(15, True)).horizontalAdvance(card.title) <= room, card.title
        assert QFontMetricsF(look.font(12)).horizontalAdvance(card.detail) <= room, card.detail
    assert shown.clear.width() >= shown.clear.sizeHint().width()
    disclaimer = QFontMetricsF(look.font(13, True)).horizontalAdvance(tr(DISCLAIMER))
    keys = QFontMetricsF(look.font(12)).horizontalAdvance(tr(page._KEYS) + tr("Esc quits"))
    side = shown._outer.contentsMargins().left()
    assert disclaimer + keys <= shown.width() - 2 * side - 24 * look.unit
    window.close()
    window.deleteLater()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_states_of_silence_have_room_in_the_top_line(screen, qtbot, language: str) -> None:
    speak(language)
    s: Screen = screen(size=(1024, 640))
    look = s.window.look
    for mode in filter(None, Mode):
        name = QFontMetricsF(look.font(9.0, True)).horizontalAdvance(tr(mode.value))
        assert name <= (_SILENCE_WIDTH - 41) * look.unit, "bell and edges beside it"
    left, right = s.window.top._sides()
    assert right - left > 0.35 * s.window.top.width(), "alarms keep their room beside the disclaimer"


def forms(node: ast.expr) -> list[str]:
    """What a returned text can be, with ``ABP`` for what is put into it."""
    match node:
        case ast.Constant(str(words)):
            return [words]
        case ast.IfExp():
            return forms(node.body) + forms(node.orelse)
        case ast.BoolOp(op=ast.Or()):
            return [words for value in node.values for words in forms(value)]
        case ast.JoinedStr():
            parts = [forms(part) for part in node.values]
            return ["".join(chosen) for chosen in itertools.product(*parts)]
        case ast.FormattedValue(value):
            return forms(value)
    return ["ABP"]


def test_every_reason_against_a_risk_is_said_in_german() -> None:
    speak("de")
    tree = ast.parse(Path(risk_policy.__file__ or "").read_text("utf-8"))
    returned = [
        words
        for function in tree.body
        if isinstance(function, ast.FunctionDef) and ast.unparse(function.returns or function) == "str"
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
        for words in forms(node.value)
        if " " in words and function.name not in ("_span", "sensors_there")
    ]
    assert len(set(returned)) >= 12
    for words in (*returned, BEHIND, NOT_LOADED, "the result came 1.4 s after its window"):
        if words == "the ABP show no pulse":
            continue  # which is said of two
        assert retold(words, prediction_view.REASONS) != words, f"{words} is in no template"
    assert (
        retold("the EEG cannot be trusted (artefact)", prediction_view.REASONS) == "EEG ist nicht zu trauen (Artefakt)"
    )


SHOWN = {
    "draw_text", "elided", "plain_label", "setText", "setToolTip", "setWindowTitle", "setPlaceholderText", "addMenu",
    "_say", "say", "Stamp", "past_stamp", "Finding", "LimitWords", "News", "WorthWords", "setSpecialValueText", "_text",
    "QPushButton", "addWidget", "_button",
}  # fmt: skip
"""What is given to these is read by somebody."""
AS_IS = {"mmHg", "min", "Vigil", *PRIORITIES}
"""Units and a name that are so in every language, and priorities, which are no words on the screen there."""


def test_what_is_painted_or_told_goes_through_the_catalogue() -> None:
    """A literal that is given straight to what paints or tells is English in every language."""
    plain = []
    for path in Path("ui").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call):
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            given = [*call.args, *(keyword.value for keyword in call.keywords)] if name in SHOWN else []
            plain += [f"{path}:{call.lineno}: {words}" for node in given for words in literals(node)]
    assert plain == []


def literals(node: ast.expr) -> Iterator[str]:
    """Words that stand in an expression itself: those of a call in it are its own affair."""
    match node:
        case ast.Constant(str(words)):
            if re.search("[A-Za-zäöü]{3}", words) and words.strip() not in AS_IS:
                yield words
        case ast.IfExp():
            yield from (*literals(node.body), *literals(node.orelse))
        case ast.BinOp():
            yield from (*literals(node.left), *literals(node.right))
        case ast.JoinedStr():
            yield from (words for part in node.values for words in literals(part))
        case ast.FormattedValue(value):
            yield from literals(value)
