"""What is recorded of upstream's own examples: a line each, for the newest release and where another does otherwise."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from textwrap import fill

from headcount import builds, defects, wording
from headcount.defects.expectations import FINE
from headcount.matrix.examples import Example

#: A terminal's usual width, without its last column.
WIDTH = 79


def lines(told: Mapping[str, Sequence[Example]]) -> str:
    """Return a heading for each file and a line for each way to run it.

    Args:
        told: transformers version -> the examples.
    """
    outcomes = {
        example: _joined({version: _outcome(example, version) for version, known in told.items() if example in known})
        for example in dict.fromkeys(example for known in told.values() for example in known)
    }
    return "\n".join(
        line for file, each in groupby(outcomes, lambda one: one.file) for line in _file(file, each, outcomes)
    )


def _file(file: str, examples: Iterator[Example], outcomes: Mapping[Example, str]) -> Iterator[str]:
    each = list(examples)
    yield fill(f"{file}, on {each[0].model.traits.title}", WIDTH, subsequent_indent="  ")
    options = ["" if len(each) == 1 else one.options or "no options" for one in each]
    for one, words in zip(each, options, strict=True):
        begin = f"   {words.ljust(max(map(len, options)))}{'  ' * bool(words)}"
        yield fill(outcomes[one], WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin))


def _joined(found: Mapping[str, str]) -> str:
    """Return what holds with every transformers version, or with each."""
    if len({*found.values()}) == 1:
        return next(iter(found.values()))
    return "; ".join(f"transformers {version}: {words}" for version, words in found.items())


def _outcome(example: Example, transformers: str) -> str:
    """Return what comes of an example with the newest release, and which others do otherwise."""
    *older, newest = builds.RELEASES
    now = _words(example, newest, transformers)
    others: dict[str, list[str]] = {}
    for release in older:
        others.setdefault(_words(example, release, transformers), []).append(release)
    others.pop(now, None)
    return "; ".join([now, *(f"{words} in {wording.ranges(where)}" for words, where in others.items())])


def _words(example: Example, release: str, transformers: str) -> str:
    token = defects.recorded(transformers).token(example.on(release), release)
    if token is None:
        return "not recorded"
    return "right" if token.kind == FINE else f"{token.kind} ({token.defect})"
