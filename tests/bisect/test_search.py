"""Laws of the search and the scan, on histories whose truth is known: lines and graphs, with and without gaps."""

import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headcount.bisect.search import Change, History, State, beginnings, changes, pasts, search

GOOD, BAD, SKIP = State.GOOD, State.BAD, State.SKIP


def counting(truth: dict[str, State]) -> tuple[Callable[[str], State], Counter[str]]:
    """A probe, and how often it was called for each point."""
    calls: Counter[str] = Counter()

    def state(point: str) -> State:
        calls[point] += 1
        return truth[point]

    return state, calls


@st.composite
def graphs(draw: st.DrawFn) -> History:
    """Points with one or two parents, all of them ancestors of the last, as `git log A..B` has them."""
    size = draw(st.integers(1, 25))
    names = [f"c{i}" for i in range(size)]
    parents: dict[str, tuple[str, ...]] = {names[0]: ("outside",)}
    for i in range(1, size):
        known = st.sampled_from([*names[:i], "outside"])
        parents[names[i]] = tuple(draw(st.lists(known, min_size=1, max_size=2, unique=True)))
    loose = set(names) - {p for found in parents.values() for p in found} - {names[-1]}
    parents[names[-1]] = tuple(dict.fromkeys([*parents[names[-1]], *sorted(loose)])) if size > 1 else ("outside",)
    return History(tuple(names), parents)


def started(history: History) -> History:
    """With what is before it as a point."""
    return History(("outside", *history.points), {**history.parents, "outside": ()})


def changed(history: History, truth: dict[str, State]) -> list[Change]:
    """Its changes, where what is before it is good."""
    return changes(started(history), {**truth, "outside": GOOD})


def ancestors(history: History) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for point in history.points:
        found[point] = {point}.union(*(found[parent] for parent in history.inside(point)))
    return found


def descendants(history: History, culprit: str) -> set[str]:
    found = {culprit}
    for point in history.points:
        if found & set(history.parents[point]):
            found.add(point)
    return found


@given(st.integers(1, 200), st.data())
def test_a_line_is_halved(size: int, data: st.DataObject) -> None:
    """Law: on a line that turns bad once, the search finds where, with as many tests as halving takes."""
    culprit = data.draw(st.integers(0, size - 1))
    history = History.line([str(i) for i in range(size)])
    state, calls = counting({str(i): BAD if i >= culprit else GOOD for i in range(size)})
    assert search(history, state) == (str(culprit),)
    assert len(calls) <= math.ceil(math.log2(size)) + 1
    assert set(calls.values()) <= {1}


@given(graphs(), st.data())
def test_a_graph_is_searched(history: History, data: st.DataObject) -> None:
    """Law: where exactly the descendants of one point are bad, search and scan find that point."""
    culprit = data.draw(st.sampled_from(history.points))
    bad = descendants(history, culprit)
    if history.points[-1] not in bad:
        return  # the last is bad by definition: it has every point among its ancestors
    truth = {p: BAD if p in bad else GOOD for p in history.points}
    assert search(history, truth.__getitem__) == (culprit,)
    introduced = [c.point for c in changed(history, truth) if truth[c.point] is BAD]
    assert introduced == [culprit]


@given(graphs(), st.data())
def test_skips_hide_but_do_not_mislead(history: History, data: st.DataObject) -> None:
    """Law: with skips, the culprit is among the suspects, and none but the last was tested and known."""
    culprit = data.draw(st.sampled_from(history.points))
    bad = descendants(history, culprit)
    if history.points[-1] not in bad:
        return
    hidden = data.draw(st.sets(st.sampled_from(history.points))) - {history.points[-1]}
    truth = {p: SKIP if p in hidden else BAD if p in bad else GOOD for p in history.points}
    state, calls = counting(truth)
    suspects = search(history, state)
    assert culprit in suspects
    assert set(suspects[:-1]) <= hidden
    assert truth[suspects[-1]] is BAD or suspects[-1] in hidden
    assert set(calls.values()) <= {1}
    introduced = [c for c in changed(history, truth) if truth[c.point] is BAD]
    assert introduced
    for change in introduced:  # several where the culprit is hidden and branches begin at it
        assert culprit in change.suspects
        assert set(change.suspects[:-1]) <= hidden


@given(graphs(), st.data())
def test_no_change_is_missed(history: History, data: st.DataObject) -> None:
    """Law: whatever the states, where a point is unlike one before it, a change is on the way, or it is hidden."""
    states = st.sampled_from([GOOD, BAD, "other", SKIP])
    truth = {point: data.draw(states) for point in ("outside", *history.points)}
    whole = started(history)
    found = changes(whole, truth)
    past, open_ = pasts(whole, truth), beginnings(whole, truth)
    before = ancestors(whole)
    for point in history.points:
        for earlier in past[point].nearest:
            if SKIP in {truth[point], truth[earlier]} or truth[point] == truth[earlier]:
                continue
            way = before[point] - before[earlier]
            assert way & ({c.point for c in found if truth[c.point] == truth[point]} | set(open_))
    for change in found:
        assert all(truth[p] not in {SKIP, truth[change.point]} for p in change.last)
        assert all(truth[p] == SKIP for p in change.suspects[:-1])


@given(st.lists(st.sampled_from(["ok", "one", "other", SKIP]), min_size=1, max_size=60))
def test_failures_are_told_apart(states: list[str]) -> None:
    """Law: on a line, a change is wherever the known neighbours differ, in whatever they differ."""
    history = History.line([str(i) for i in range(len(states))])
    known = [(i, s) for i, s in enumerate(states) if s != SKIP]
    wanted = [str(j) for (_, s), (j, t) in pairwise(known) if s != t]
    assert [c.point for c in changes(history, dict(zip(history.points, states, strict=True)))] == wanted


@given(st.lists(st.sampled_from([GOOD, BAD]), min_size=1, max_size=60))
def test_what_a_search_finds_is_a_change(states: list[State]) -> None:
    """Law: on a line that goes back and forth, what is found is bad, and what is right before it is not."""
    states[-1] = BAD
    history = History.line([str(i) for i in range(len(states))])
    (culprit,) = search(history, lambda point: states[int(point)])
    place = int(culprit)
    assert states[place] is BAD
    assert place == 0 or states[place - 1] is GOOD


@given(st.lists(st.sampled_from([GOOD, BAD, SKIP]), min_size=1, max_size=60))
def test_a_scan_finds_every_change_of_a_line(states: list[State]) -> None:
    """Law: on a line, the changes are those between neighbours once the skipped ones are left out."""
    history = History.line([str(i) for i in range(len(states))])
    known = [(i, s) for i, s in enumerate(states) if s is not SKIP]
    wanted = [(str(j), t) for (_, s), (j, t) in pairwise(known) if s is not t]
    truth = {str(i): s for i, s in enumerate(states)}
    found = changes(history, truth)
    assert [(c.point, truth[c.point]) for c in found] == wanted
    for change in found:
        assert [states[int(p)] for p in change.suspects[:-1]] == [SKIP] * (len(change.suspects) - 1)
        assert int(change.suspects[0]) == int(change.last[0]) + 1
