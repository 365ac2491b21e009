"""Mutants are programs, each with one mistake; and those on record that survive are explained."""

import ast
import json

import mutator

import mutants

SOURCE = """
class Pruner:
    def keep(self, heads, ratio):
        '''Which stay.'''
        count = heads - int(ratio * heads)
        if count < 1 and heads > 0:
            count = 1
        self.note(count)
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
        assert sum(one != other for one, other in pairs) in (0, 1)
        assert "return 1 + 1" in mutant.text
    said = {mutant.what for mutant in found}
    assert {"count < 1 -> count <= 1", "ratio * heads -> ratio // heads", "self.note(count) -> pass"} <= said
    assert {"i >= count -> i > count", "count < 1 and heads > 0 -> count < 1 or heads > 0", "1 -> 2"} <= said


def test_every_survivor_on_record_is_explained() -> None:
    outcome = json.loads(mutants.RECORD.read_text("utf-8"))
    assert mutants.explained(outcome)
    survived = {id_ for id_, said in outcome["mutants"].items() if not said.startswith("caught")}
    assert mutants.survivors().keys() == survived
    caught = len(outcome["mutants"]) - len(survived)
    silent = list(outcome["mutants"].values()).count("silent")
    assert caught >= 0.95 * (len(outcome["mutants"]) - silent)
