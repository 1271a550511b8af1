"""From the octets of a settings file to `Settings`, or to every problem in it at once.

Reads no file; `Known` says what exists. Paths in the result are absolute: relative ones start at the folder of the file.
"""

from __future__ import annotations

import dataclasses

from milter import strict_yaml
from milter.errors import Problem, SettingsError
from milter.settings import check
from milter.settings.check import Known
from milter.settings.model import Settings


def load(octets: bytes, file: str, known: Known) -> Settings:
    """Read one settings file. Raises SettingsError with all problems, in the order of the file."""
    document = strict_yaml.parse(octets, file, SettingsError)
    problems: list[Problem] = []
    settings = Settings()
    try:
        settings = strict_yaml.validate(document, Settings, SettingsError)
    except SettingsError as wrong:
        problems += wrong.problems
    problems += check.problems(document, known)
    if problems:
        raise SettingsError(sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column)))
    return _anchored(settings, known)


def _anchored(settings: Settings, known: Known) -> Settings:
    def anchored(text: str) -> str:
        return known.path(text) if check.is_path(text) else text

    return dataclasses.replace(
        settings,
        policy=settings.policy and anchored(settings.policy),
        registry=tuple(anchored(text) for text in settings.registry),
        rules=tuple(known.path(text) for text in settings.rules),
        public_suffix_list=settings.public_suffix_list and known.path(settings.public_suffix_list),
        data_dir=known.path(settings.data_dir),
    )
