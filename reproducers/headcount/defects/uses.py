"""Known defects: what a user does with the pruned model."""

from headcount import matrix, oracle
from headcount.defects.defect import Condition, Defect, Edit, Raises, Reproducer, Severity

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="216-properties",
        title="tp.load_state_dict crashes on every model of transformers: it sets properties that cannot be set",
        severity=Severity.CRASH,
        hits="who saves a pruned model of transformers by tp.state_dict",
        cause="tp.state_dict keeps all that `dir(module)` lists, properties too, and tp.load_state_dict sets each.",
        breaks="Load a model given a state_dict.",
        source=(
            "tp.load_state_dict's docstring; README of 1.3.0 to 1.4.0: Re-create pruned models from unpruned ones "
            "using tp.state_dict and tp.load_state_dict."
        ),
        signature=(Raises("AttributeError", "has no setter", ".load_state_dict", oracle.Kind.BROKEN_USE),),
        may_show=Condition(
            "a model of transformers, then tp.load_state_dict",
            lambda cell: bool(cell.model.traits.prefix) and cell.config.then is matrix.Then.TP_STATE_DICT,
        ),
        examples=("vit-global-prunenum-prunedims-heads1of3-chan1of2-steps1-then_tp_state_dict",),
        reproducer=Reproducer("issue_216_read_only_properties.py", "1.6.1"),
        upstream="https://github.com/VainF/Torch-Pruning/issues/216",
        remedy=(
            Edit(
                "load_state_dict",
                "setattr(module, attr_name, attr_value)",
                "if not isinstance(getattr(type(module), attr_name, None), property):\n"
                "    setattr(module, attr_name, attr_value)",
                "*/serialization.py",
            ),
        ),
    ),
)
