"""The trained model beside its bundle (:mod:`models.runtime.carried`): what is shipped can be opened again."""

from __future__ import annotations

import shutil
from pathlib import Path

from models.runtime.carried import CARRIED, FILES
from models.training.config import load_config, to_toml
from models.training.portable import portable
from models.training.run_folder import CONFIG


def carry_model(run: Path, bundle: Path) -> None:
    """Copies the trained model of the folder ``run`` into ``bundle/checkpoint``, before the bundle is sealed.

    The files are the run's, byte for byte, but for the configuration, which loses its paths.
    """
    place = bundle / CARRIED
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in FILES:
        if name != CONFIG and (run / name).is_file():
            shutil.copyfile(run / name, place / name)
    (place / CONFIG).write_text(to_toml(portable(load_config(run / CONFIG))), encoding="utf-8")
