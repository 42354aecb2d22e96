"""The plan of model comparisons: it reads, and ablations share what they say they share."""

from __future__ import annotations

import msgspec
import pytest
import torch  # noqa: F401  (the plan reads training configurations)

from benchmarks.models.plan import PLAN, read_plan
from models.signals.errors import BadInput

DATA = "0" * 16


def prints(name: str) -> dict[str, str]:
    run = next(r for r in read_plan() if r.name == name)
    return run.settings.fingerprints(DATA)


@pytest.mark.parametrize("name", ["no_stop_gradient", "mask_token", "no_context"])
def test_ablations_of_the_main_stage_share_its_encoders_and_nothing_after(name: str) -> None:
    control, ablation = prints("control"), prints(name)
    assert ablation["pretrain"] == control["pretrain"]
    assert ablation["fusion"] != control["fusion"]


@pytest.mark.parametrize("name", ["random_encoders", "vit"])
def test_ablations_of_the_encoders_have_their_own(name: str) -> None:
    assert prints(name)["pretrain"] != prints("control")["pretrain"]


def test_ablations_of_selfmask_share_all_before_it() -> None:
    control = prints("control")
    names = [r.name for r in read_plan() if r.origin == "control"]
    shared = [name for name in names if prints(name)["fusion"] == control["fusion"]]
    assert len(shared) >= 5
    assert all(prints(name)["selfmask"] != control["selfmask"] for name in shared)


def test_main_runs_differ_in_the_seed_and_in_what_is_not_compared() -> None:
    main = [r for r in read_plan() if not r.ablation]
    assert len(main) >= 3 and len({r.settings.seed for r in main}) == len(main)
    compared = [
        msgspec.structs.replace(r.settings, seed=0, waves=main[0].settings.waves, distil=main[0].settings.distil)
        for r in main
    ]
    assert all(settings == compared[0] for settings in compared)


def test_no_two_ablations_are_the_same() -> None:
    every = [r.settings.fingerprint for r in read_plan() if r.ablation]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('base = "none"\n[runs.a]\n', "none"),
        ('base = "demo"\n[runs.a]\norigin = "b"\n', "b"),
        ('base = "demo"\n[runs.a]\nset = { "fusion.stepz" = 3 }\n', "stepz"),
        ('base = "demo"\n[runs.a]\nset = { "selfmask.masks" = "dice" }\n', "dice"),
        ("base =", "plan.toml"),
    ],
)
def test_a_plan_that_does_not_fit_is_told_in_one_sentence(tmp_path, text: str, words: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        read_plan(path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_plan_that_is_not_there(tmp_path) -> None:
    with pytest.raises(BadInput, match="--plan"):
        read_plan(tmp_path / "nothing.toml")
    assert PLAN.is_file()
