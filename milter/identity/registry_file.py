"""Reads registry files: YAML to a `Registry`, or one error with every problem of every file.

Knows the rules between entries (an id once, a domain in one organisation, a name that means one organisation). Must not
open files: the caller hands the octets in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from milter import strict_yaml
from milter.errors import Problem, RegistryError
from milter.identity.organisation import AliasStrength, Organisation, RegistryFile
from milter.identity.registry import Registry
from milter.strict_yaml import Document, Path
from milter.text.normal import fold


def load(sources: Iterable[tuple[str, bytes]]) -> Registry:
    """One registry from several files (name to show, octets), in order. Raises RegistryError with all problems."""
    files: list[tuple[Document, RegistryFile]] = []
    problems: list[Problem] = []
    for name, octets in sources:
        try:
            document = strict_yaml.parse(octets, name, RegistryError)
            files.append((document, strict_yaml.validate(document, RegistryFile, RegistryError)))
        except RegistryError as broken:
            problems += broken.problems
    problems += _cross_check(files)
    if problems:
        raise RegistryError(problems)
    return Registry(
        (organisation for _, file in files for organisation in file.organisations),
        (neighbour for _, file in files for neighbour in file.honest_neighbours),
    )


Entry = tuple[Document, Path, Organisation]


def _cross_check(files: list[tuple[Document, RegistryFile]]) -> list[Problem]:
    entries: list[Entry] = [
        (document, ("organisations", index), organisation) for document, file in files for index, organisation in enumerate(file.organisations)
    ]
    found = [*_ids(entries), *_domains(entries), *_names(entries), *_payers(entries)]
    order = {document.file: index for index, (document, _) in enumerate(files)}
    return sorted(found, key=lambda problem: (order[problem.file], problem.line, problem.column))


def _ids(entries: list[Entry]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for document, path, organisation in entries:
        place = (*path, "id")
        if organisation.id in first:
            yield document.problem(place, f"the id `{organisation.id}` is taken, first at {first[organisation.id]}; ids are given once")
        first.setdefault(organisation.id, _where(document, place))


def _domains(entries: list[Entry]) -> Iterator[Problem]:
    first: dict[str, tuple[str, str]] = {}
    for document, path, organisation in entries:
        for index, entry in enumerate(organisation.domains):
            place = (*path, "domains", index, "domain")
            name = entry.domain.name
            if name in first:
                owner, where = first[name]
                owner = "this organisation" if owner == organisation.id else f"`{owner}`"
                yield document.problem(place, f"{name} is listed for {owner} already, at {where}; a domain has one owner")
            first.setdefault(name, (organisation.id, _where(document, place)))


def _names(entries: list[Entry]) -> Iterator[Problem]:
    """A name twice in one organisation, or distinctive in two: then it would mean both and so neither."""
    owners: dict[str, tuple[str, str]] = {}
    for document, path, organisation in entries:
        own: dict[str, str] = {}
        for place, written, strength in _written_names(path, organisation):
            folded = fold(written).strip()
            if folded in own:
                yield document.problem(place, f"{written!r} is listed already, at {own[folded]} (case and accents make no difference)")
                continue
            own[folded] = _where(document, place)
            if strength is AliasStrength.AMBIGUOUS:
                continue
            if folded in owners:
                other, where = owners[folded]
                yield document.problem(place, f"{written!r} names `{other}` too, at {where}; make it ambiguous in both or take it out of one")
            owners.setdefault(folded, (organisation.id, own[folded]))


def _written_names(path: Path, organisation: Organisation) -> Iterator[tuple[Path, str, AliasStrength]]:
    aliases = organisation.aliases
    if organisation.name not in aliases.ambiguous:
        yield (*path, "name"), organisation.name, AliasStrength.DISTINCTIVE
    for strength, names in ((AliasStrength.DISTINCTIVE, aliases.distinctive), (AliasStrength.AMBIGUOUS, aliases.ambiguous)):
        for index, written in enumerate(names):
            yield (*path, "aliases", strength.value, index), written, strength


def _payers(entries: list[Entry]) -> Iterator[Problem]:
    known = {organisation.id for _, _, organisation in entries}
    for document, path, organisation in entries:
        for index, payer in enumerate(organisation.third_party_payers):
            if payer.payer not in known:
                yield document.problem((*path, "third_party_payers", index, "payer"), f"no organisation has the id `{payer.payer}`")


def _where(document: Document, path: Path) -> str:
    line, column = document.values.get(path, (1, 1))
    return f"{document.file}:{line}:{column}"
