"""``python -m benchmarks tour pictures``, ``film`` or ``events``: the real program, offscreen or on a real screen.

``pictures`` plays each scene of ``scenes.toml`` in a process of its own (a desktop's scale is a process's) and leaves a
PNG of each, of a recording too (``--recording``, for scenes whose source is ``RECORDING``). ``film`` leaves a GIF.
``events`` plays the built-in patient and does to it what ten thousand random keys, clicks, drags, wheels
and sizes do; an exception, a Qt warning or a session that died ends it with 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.tour.scenes import RECORDING, Scene, read_scenes
from models.signals.errors import BadInput
from monitor.screen import no_screen


def main(argv: list[str]) -> int:
    """The part that ``argv`` names; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks tour", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    pictures = parts.add_parser("pictures", help="a PNG of every scene")
    pictures.add_argument("names", nargs="*", help="of scenes (default: all)")
    pictures.add_argument("--out", type=Path, default=Path("tour"), help="the folder of the pictures")
    pictures.add_argument("--scenes", type=Path, help="another table of scenes")
    pictures.add_argument("--recording", default="", help="what scenes call RECORDING")
    pictures.add_argument("--page", type=Path, help="also write a page of Markdown with the pictures and their words")
    pictures.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in this process
    events = parts.add_parser("events", help="random keys, clicks, drags and sizes")
    events.add_argument("--count", type=int, default=10_000)
    events.add_argument("--seed", type=int, default=1)
    film = parts.add_parser("film", help="a short animated picture")
    film.add_argument("--out", type=Path, default=Path("film.gif"))
    args = parser.parse_args(argv)
    if no_screen():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    if args.part == "events":
        from benchmarks.tour.events import run_events

        return run_events(args.count, args.seed)
    if args.part == "film":
        from benchmarks.tour.film import make_film

        print(f"{args.out}: {make_film(args.out) / 1e6:.1f} MB")
        return 0
    return _pictures(args)


def _pictures(args: argparse.Namespace) -> int:
    scenes = read_scenes(args.scenes)
    unknown = [name for name in args.names if name not in scenes]
    if unknown:
        raise BadInput(f"scenes out of {', '.join(scenes)}", ", ".join(unknown), "choose some of these")
    args.out.mkdir(parents=True, exist_ok=True)
    if args.here:
        for name in args.names:
            _picture(_of(scenes[name], args.recording), args.out / f"{name}.png")
        return 0
    failed = [name for name in args.names or scenes if not _elsewhere(name, scenes[name], args)]
    for name in failed:
        print(f"no picture of {name}", file=sys.stderr)
    if args.page is not None:
        args.page.write_text(_page(scenes, args.out, args.page.parent), encoding="utf-8")
    return bool(failed)


def _page(scenes: dict[str, Scene], folder: Path, here: Path) -> str:
    """The scenes that have words, one below the other; links as seen from ``here``."""
    place = Path(os.path.relpath(folder, here)).as_posix()
    parts = [f"{scene.words}\n\n![{name}]({place}/{name}.png)\n" for name, scene in scenes.items() if scene.words]
    return "# A tour in pictures\n\n" + "\n".join(parts)


def _elsewhere(name: str, scene: Scene, args: argparse.Namespace) -> bool:
    """In a process with the scene's scale; its words are ours."""
    command = [sys.executable, "-m", "benchmarks", "tour", "pictures", name, "--here", "--out", os.fspath(args.out)]
    command += ["--scenes", os.fspath(args.scenes)] if args.scenes is not None else []
    command += ["--recording", args.recording] if args.recording else []
    done = subprocess.run(command, env=os.environ | {"QT_SCALE_FACTOR": f"{scene.scale:g}"}, check=False)
    print(f"{name}: {args.out / name}.png" if done.returncode == 0 else f"{name}: exit {done.returncode}", flush=True)
    return done.returncode == 0


def _of(scene: Scene, recording: str) -> Scene:
    if scene.source != RECORDING:
        return scene
    if not recording:
        raise BadInput("--recording FILE for scenes of a recording", "none", "name one")
    return msgspec.structs.replace(scene, source=recording)


def _picture(scene: Scene, path: Path) -> None:
    from benchmarks.tour.eyes import seen_by
    from benchmarks.tour.stage import Stage

    with Stage(scene) as stage:
        picture = stage.picture()
    if scene.colour_blind:
        picture = seen_by(scene.colour_blind, picture)
    if not picture.save(os.fspath(path)):
        raise BadInput("a picture that can be written", os.fspath(path), "choose another folder")
