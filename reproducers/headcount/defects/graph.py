"""Known defects: what the graph of the network misses."""

from headcount.defects.defect import (
    CLASSIFIER,
    KEEPS_WIDTH,
    PRUNES_WIDTH,
    Breaks,
    Condition,
    Defect,
    Raises,
    Reproducer,
    Severity,
    families,
)
from headcount.oracle import Kind, Problem

DEFECTS: tuple[Defect, ...] = (
    Defect(
        id="no-gradient",
        title="a parameter that no gradient reaches, as a mask token or frozen positions, crashes the tracing",
        severity=Severity.CRASH,
        hits="everyone who prunes a model with a mask token or frozen positions",
        cause=(
            "each parameter that is in no layer is looked up among the nodes of the graph, where one without a "
            "gradient is not."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("KeyError", "Parameter containing", "._trace_computational_graph"),),
        may_show=families("a parameter without a gradient", "dinov2", "dinov2_registers", "dinov3", "vit_mae"),
        examples=(
            "dinov2-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "dinov2-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("no_gradient.py", "1.3.5", "1.3.6"),
    ),
    Defect(
        id="concat-half",
        title="a classifier that reads two tokens side by side loses the channels of one of them only",
        severity=Severity.SILENT_WEIGHTS,
        hits="who prunes the width of DINOv2 with its classifier",
        cause="the tokens come from one norm, and of two paths into a concatenation the group follows one.",
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Breaks(Problem.OTHER_INDICES, "width", where="classifier"),),
        may_show=families("a classifier that reads two tokens", "dinov2", "dinov2_registers")
        & CLASSIFIER
        & PRUNES_WIDTH,
        examples=(
            "dinov2-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "dinov2-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("concat_half.py", "1.6.1"),
    ),
    Defect(
        id="frozen-parameter",
        title="a frozen parameter is left as wide as it was: positions that are not trained no longer fit",
        severity=Severity.SILENT_WEIGHTS,
        hits="who prunes the width of a model with frozen positions",
        cause="the graph is made of gradients, and what needs none is not in it.",
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Breaks(Problem.OTHER_INDICES, "width", where="position_embeddings"),),
        may_show=families("frozen positions", "vit_mae") & PRUNES_WIDTH,
        examples=(
            "vit_mae-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "vit_mae-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("frozen_parameter.py", "1.6.1"),
    ),
    Defect(
        id="concat-tokens",
        title="tokens put one after another are taken for channels side by side: pruning the width crashes",
        severity=Severity.CRASH,
        hits="who prunes the width of CLIP",
        cause=(
            "a concatenation along dimension 1 is one of channels, unless a parameter of three dimensions comes "
            "into it; CLIP's class token has one."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=families("a class token of one dimension", "clip") & PRUNES_WIDTH,
        examples=(
            "clip-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "clip-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("concat_tokens.py", "1.5.2", "1.5.3"),
    ),
    Defect(
        id="split-tokens",
        title="a split of tokens crashes the tracing",
        severity=Severity.CRASH,
        hits="everyone who prunes DINOv3",
        cause="the sizes of a split along the tokens are not recorded. A concatenation that follows reads them.",
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("IndexError", "list index out of range", "infer_out_channels_recursively"),),
        may_show=families("tokens are split", "dinov3"),
        examples=(
            "dinov3-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "dinov3-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("split_tokens.py", "1.6.1", "1.5.2"),
    ),
    Defect(
        id="fused-index",
        title="a fused qkv projection that is taken apart by qkv[0], qkv[1], qkv[2] crashes, where unbind does not",
        severity=Severity.CRASH,
        hits="everyone who prunes attention that takes qkv apart by an index",
        cause=(
            "an index is an operation on each element to the graph: the channels of a part are not mapped to "
            "those of the whole."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=families("qkv taken apart by an index", "fused_index"),
        examples=(
            "fused_index-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "fused_index-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("fused_index.py", "1.6.1"),
    ),
    Defect(
        id="fused-chunk",
        title="a fused qkv projection that is taken apart in chunks crashes where positions are added before",
        severity=Severity.CRASH,
        hits="who prunes attention that takes qkv apart in chunks, with positions added before",
        cause=(
            "with a parameter of three dimensions before it, a split counts as one of tokens, and its parts are "
            "not mapped."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("IndexError", "is out of bounds for dimension"),),
        may_show=families("qkv taken apart in chunks", "fused_chunk"),
        examples=(
            "fused_chunk-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "fused_chunk-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("fused_chunk.py", "1.6.1"),
    ),
    Defect(
        id="unread-layer",
        title="a layer whose output is not read is left as wide as it was, and the forward pass runs into it",
        severity=Severity.CRASH,
        hits="who prunes the width of CLIP with its classifier",
        cause=(
            "the graph is made from the output backwards: CLIP's last norm is on no way to the logits, though it "
            "is run."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("RuntimeError", "normalized_shape", "", Kind.BROKEN_FORWARD),),
        may_show=families("a layer that nothing reads", "clip") & CLASSIFIER & PRUNES_WIDTH,
        examples=(
            "clip-local-keepnum-prunedims-heads0-chan1of2-steps1",
            "clip-local-keepnum-prunedims-heads0-chan1of2-steps2",
        ),
        reproducer=Reproducer("unread_layer.py", "1.6.1"),
    ),
    Defect(
        id="reduced-sequence",
        title="the convolution that PVT reads keys through is cut though the width stays: forward fails",
        severity=Severity.CRASH,
        hits="who prunes PVT and keeps the width",
        cause=(
            "the model gives the convolution's output as many channels as its input has, by a number: what the "
            "graph is made from does not show it."
        ),
        breaks=(
            "Torch-Pruning addresses this issue by introducing a graph-based algorithm called DepGraph to "
            "automatically identify dependencies and collect groups for pruning."
        ),
        source="README, Why Torch-Pruning?",
        signature=(Raises("RuntimeError", "normalized_shape", "", Kind.BROKEN_FORWARD),),
        may_show=Condition("keys read through a convolution", lambda cell: bool(cell.model.reduced)) & KEEPS_WIDTH,
        examples=(
            "pvt_stages-local-prunenum-keepdims-heads1of3-chan1of2-steps1-ignore_residual_outputs",
            "pvt_stages-global-prunenum-keepdims-heads1of3-chan1of2-steps1-ignore_residual_outputs",
        ),
        reproducer=Reproducer("reduced_sequence.py", "1.6.1"),
    ),
)
