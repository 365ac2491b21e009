"""What is published beside the report: an endpoint for a badge of each release and family, and a feed of changes.

A badge is what shields.io reads: https://img.shields.io/endpoint?url=… The feed is Atom.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from headcount import builds, defects, oracle, results, wording
from headcount.matrix import Cell
from headcount.report import timeline

#: The least share of right calls -> a badge's colour.
_COLOURS = ((1.0, "brightgreen"), (0.9, "green"), (0.5, "yellow"), (0.0, "orange"))

_ATOM = "http://www.w3.org/2005/Atom"


def badges(rows: Sequence[results.Row]) -> dict[str, dict[str, object]]:
    """Return a badge's name -> its endpoint: `1.6.1`, `1.6.1-dinov2`, and `newest`."""
    found: dict[str, list[results.Row]] = {}
    for row in rows:
        if row.build in builds.RELEASES and row.verdict.kind is not oracle.Kind.NOT_APPLICABLE:
            family = Cell.parse(row.cell).model.family
            found.setdefault(row.build, []).append(row)
            found.setdefault(f"{row.build}-{family}", []).append(row)
    made = {name: _badge(name, each) for name, each in found.items()}
    newest = next((release for release in reversed(builds.RELEASES) if release in made), "")
    return made | ({"newest": made[newest]} if newest else {})


def _badge(name: str, rows: Sequence[results.Row]) -> dict[str, object]:
    right = sum(row.verdict.kind is oracle.Kind.OK for row in rows)
    release, _, family = name.partition("-")
    return {
        "schemaVersion": 1,
        "label": " ".join(filter(None, ("head pruning", release, family))),
        "message": f"{right} of {wording.number(len(rows), 'call')} right",
        "color": next(colour for least, colour in _COLOURS if right >= least * len(rows)),
    }


def feed(address: str, transformers: str, updated: str) -> str:
    """Return the feed: for each release, the newest first, which known defects it brought and which it mended.

    Args:
        address: where the site is.
        updated: when it was made, as RFC 3339 has it.
    """
    root = Element("feed", xmlns=_ATOM)
    _add(root, {"title": "Headcount: head pruning in Torch-Pruning", "id": address, "updated": updated})
    SubElement(root, "link", href=address)
    SubElement(root, "link", rel="self", href=f"{address}feed.xml")
    _add(SubElement(root, "author"), {"name": "Headcount"})
    for release, (brought, mended) in reversed(_changes(transformers).items()):
        entry = SubElement(root, "entry")
        words = "; ".join(
            f"{word} {', '.join(names)}" for word, names in (("brings", brought), ("mends", mended)) if names
        )
        _add(entry, {"title": f"Torch-Pruning {release}", "id": f"{address}#build={release}", "updated": updated})
        SubElement(entry, "link", href=f"{address}#build={release}")
        _add(entry, {"content": words or "no known defect came or went"})
    indent(root)
    return tostring(root, "unicode", xml_declaration=True)


def _add(parent: Element, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        SubElement(parent, name).text = text


def _changes(transformers: str) -> dict[str, tuple[list[str], list[str]]]:
    """Return release -> the known defects that it brought, and those that it mended."""
    found: dict[str, tuple[list[str], list[str]]] = {release: ([], []) for release in builds.RELEASES}
    for line in timeline.of_releases(defects.DEFECTS, transformers):
        known = [(r, m) for r, m in zip(line.builds, line.marks, strict=True) if m in _TELLING]
        for (_, before), (release, after) in _pairs(known):
            if before is not after:
                found[release][after is timeline.Mark.FINE].append(line.defect.id)
    return found


_TELLING = (timeline.Mark.SHOWS, timeline.Mark.FINE)

_Marked = tuple[str, timeline.Mark]


def _pairs(known: Sequence[_Marked]) -> Iterable[tuple[_Marked, _Marked]]:
    """Return each mark with the one before. A defect that shows in the first release came with it."""
    first: list[_Marked] = [("", timeline.Mark.FINE)] if known and known[0][0] == builds.RELEASES[0] else []
    return pairwise([*first, *known])
