"""Mutants are programs, each with one mistake; and those on record that survive are explained."""

import ast

import mutator

import mutants

SOURCE = """
class Pruner:
    def keep(self, heads, ratio=1, least=2):
        '''Which stay.'''
        count = heads - int(ratio * heads)
        if count < 1 and heads > 0:
            count = 1
        self.note(count)
        self.kept[heads, ratio] = count
        return [i for i in range(heads) if i >= count]

    def other(self):
        return 1 + 1
"""


def test_each_mutant_has_one_mistake() -> None:
    found = mutator.mutants("file.py", SOURCE, ["Pruner.keep"])
    plain = ast.unparse(ast.parse(SOURCE))
    assert len({mutant.text for mutant in found}) == len(found)
    for mutant in found:
        compile(mutant.text, mutant.file, "exec")
        pairs = zip(plain.splitlines(), mutant.text.splitlines(), strict=True) if "pass" not in mutant.what else []
        assert sum(one != other for one, other in pairs) <= (2 if "; " in mutant.what else 1)
        assert "return 1 + 1" in mutant.text
    said = {mutant.what for mutant in found}
    assert {"1; 2 -> 2; 1", "self.kept[heads, ratio] -> self.kept[heads]"} <= said
    assert any(what.startswith("self.note(count); self.kept") and what.endswith("self.note(count)") for what in said)
    assert {"count < 1 -> count <= 1", "ratio * heads -> ratio // heads", "self.note(count) -> pass"} <= said
    assert {"i >= count -> i > count", "count < 1 and heads > 0 -> count < 1 or heads > 0", "1 -> 2"} <= said


def test_every_survivor_on_record_is_explained() -> None:
    every = set()
    for outcome in mutants.recorded().values():
        assert mutants.explained(outcome)
        survived = {id_ for id_, said in outcome["mutants"].items() if not said.startswith("caught")}
        caught = len(outcome["mutants"]) - len(survived)
        silent = list(outcome["mutants"].values()).count("silent")
        assert caught >= 0.95 * (len(outcome["mutants"]) - silent)
        every |= survived
    assert mutants.survivors().keys() == every
