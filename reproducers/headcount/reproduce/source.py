"""What a file says of a network: how it is made and called, and where its layers are.

A ViT with a classifier is told from its sizes alone. Any other network is built once, to see where its layers are.
That imports torch and transformers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from headcount import models, oracle

#: What a file calls a block's layers, in their order. With one block each is a layer, else a list of layers.
LAYERS = ("q", "k", "v", "out", "fc1", "fc2", "attention", "block", "reduction")

#: What a file calls the layer that is all three projections.
_FUSED = "qkv"

#: What a config names -> what a file does. {0} is a list's index, {1} a list's star.
_EXPRESSIONS = {
    "residual_outputs": "{1}out, {1}fc2",
    "attention_outputs": "{1}out",
    "mlp_outputs": "{1}fc2",
    "attention": "attention{0}",
    "query": "q{0}",
    "qkv": "q{0}, k{0}, v{0}",
    "mlp": "fc1{0}",
    "block": "block{0}",
    "LayerNorm": "torch.nn.LayerNorm",
    "Conv2d": "torch.nn.Conv2d",
}

#: Of a plain ViT, whose modules are found by what they are.
_PLAIN_EXPRESSIONS = {
    "attention": "attentions[{}]",
    "block": '[m for m in model.modules() if hasattr(m, "layernorm_before")][{}]',
}

#: Where a layer has no bias, a column of its weight numbers the channels.
_COLUMN = "weight[:, 0]"

_WIDTH = 120


@dataclass(frozen=True)
class Place:
    """Where channels of a dimension are in a parameter.

    Attributes:
        dim: the side that they are on.
        parts: which of the equal parts of that side are theirs.
        others: whether there are other dimensions' parts, too.
        channels: how many there are in a part.
    """

    parameter: str
    dim: int
    parts: tuple[int, ...]
    others: bool
    channels: int


@dataclass(frozen=True)
class Source:
    """What a file says of a network.

    Attributes:
        model: its sizes.
        imports: a line that imports its classes; "" for none.
        made: an expression that makes it.
        sizes: what stands before, so that the expression is short.
        lines: what a file calls a layer -> the line that finds it; none for a plain ViT.
        called: q, k and v -> what a file calls the layer.
        numbers: q, k and v -> what of the layer tells its channels apart.
        ignored: layers that are always in `ignored_layers`.
        classifier: the layer with an output per label; "" for none.
        inputs: an expression; of a dictionary, the lines that make it.
        by_name: whether the inputs are a dictionary.
        output: what an output is in what the network returns.
        own_sizes: names of attention's own sizes, and what each is.
        pooler: what the classifier reads a token through; "" for none.
        places: parameter -> its places.
        kinds: module -> its class in torch.nn.
    """

    model: models.Model
    imports: str
    made: str
    sizes: str = ""
    lines: Mapping[str, str] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=lambda: {name: name for name in "qkv"})
    numbers: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys("qkv", "bias"))
    ignored: tuple[str, ...] = ("model.classifier",)
    classifier: str = "model.classifier"
    inputs: str = ""
    by_name: bool = False
    output: str = ".logits"
    own_sizes: tuple[tuple[str, str], ...] = ()
    pooler: str = ""
    places: Mapping[str, tuple[tuple[str, Place], ...]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def one(self) -> bool:
        """Whether there is one block."""
        return self.model.layers == 1

    @property
    def is_plain(self) -> bool:
        """Whether it is a ViT with a classifier, whose layers are found by what they are."""
        return not self.lines

    @property
    def projections(self) -> tuple[str, ...]:
        """What a file calls the layers of queries, keys and values, each once."""
        return tuple(dict.fromkeys(self.called.values()))

    @property
    def splits(self) -> bool:
        """Whether each projection is a layer of its own, and as wide as the others."""
        return not self.fused and self.model.traits.queries_per_kv == 1

    @property
    def traced(self) -> str:
        """How to take the output from what a traced network returns, which is a dictionary."""
        return {".logits": '["logits"]', "[0]": '["last_hidden_state"]'}.get(self.output, "")

    @property
    def fused(self) -> bool:
        """Whether one layer is all three projections."""
        return self.called["k"] == _FUSED

    def forward(self, net: str, given: str = "inputs") -> str:
        """Return the expression of a network's output."""
        return f"{net}({'**' * self.by_name}{given}){self.output}"

    def channels(self, name: str, layer: str) -> str:
        """Return the expression of a number for each channel of a projection's layer."""
        part = f".chunk(3)[{'qkv'.index(name)}]" if self.fused else ""
        return f"{layer}.{self.numbers[name]}{part}"

    def by_column(self, name: str) -> bool:
        """Return whether a projection's channels are told apart by a column of its weight."""
        return self.numbers[name] == _COLUMN

    def layers(self, names: Iterable[str]) -> str:
        """Return expressions for layers that a config names."""
        found = [text for name in names for text in self._layers(name)]
        return ", ".join(dict.fromkeys(found))

    def _layers(self, name: str) -> list[str]:
        kind, _, block = name.partition(".")
        if kind == "classifier":
            return [*self.ignored]
        if self.is_plain and kind in _PLAIN_EXPRESSIONS:
            return [_PLAIN_EXPRESSIONS[kind].format(block)]
        index, star = ("", "") if self.one else (f"[{block}]", "*")
        found = _EXPRESSIONS[kind].format(index, star).split(", ")
        if self.fused:
            found = [re.sub(r"^[qkv]\b", _FUSED, text) for text in found]
        if self.model.traits.uses_multihead_attention:  # attention's own output is inside
            found = [re.sub(r"^(\*?)out$", rf"\g<1>{_FUSED}", text) for text in found]
        return found

    def heads(self, listed: str) -> str:
        """Return the expression of `num_heads` for these projections."""
        names = [*dict.fromkeys(self.called[name] for name in listed)]
        queries = self.model.traits.queries_per_kv
        if self.one or len({*self.model.block_heads}) > 1 or queries > 1:
            pairs = [
                (f"{name}{'' if self.one else f'[{block}]'}", heads // (1 if name in ("q", _FUSED) else queries))
                for block, heads in enumerate(self.model.block_heads)
                for name in names
            ]
            return f"{{{', '.join(f'{layer}: {heads}' for layer, heads in pairs)}}}"
        return f"dict.fromkeys([{', '.join(f'*{name}' for name in names)}], {self.model.heads})"

    def size(self, dimension: str, block: int) -> str:
        """Return the expression of a dimension's size, in this block unless the dimension names its own."""
        kind, _, own = dimension.partition(".")
        stage = [*self.model.widths].index(dimension) if dimension in self.model.widths else 0
        first = next(b for b in range(self.model.layers) if self.model.stage(b) == stage)
        mlp = "fc2{}.in_features" if self.model.traits.gated else "fc1{}.out_features"
        place = own or str(block)
        sizes = {
            "width": f"{self.layers([f'mlp.{first}'])}.in_features",
            "mlp": mlp.format("" if self.one else f"[{place}]"),
            "reduced": "reduction{}.out_channels".format("" if self.one else f"[{place}]"),
            "pooled": f"{self.pooler}.out_features",
            "labels": f"{self.classifier}.out_features",
        }
        return sizes.get(kind, kind if self.one else f"{kind}[{place}]")

    def neighbours(self, finding: oracle.Finding) -> tuple[Place, Place] | None:
        """Return where a parameter keeps other channels than its neighbours, and the place of a neighbour."""
        own = dict(self.places.get(finding.where, ())).get(_named(finding))
        others = (dict(places).get(_named(finding)) for name, places in self.places.items() if name != finding.where)
        other = next((place for place in others if place and place.parts == (0,) and not place.others), None)
        return (own, other) if own and other else None

    def table(self, block: int) -> Place | None:
        """Return where a table has a number for each head of a block."""
        found = (dict(places).get(f"heads.{block}") for places in self.places.values())
        return next((place for place in found if place), None)


def _named(finding: oracle.Finding) -> str:
    has_block = finding.block is not None and "." not in finding.dimension
    return f"{finding.dimension}.{finding.block}" if has_block else finding.dimension


@cache
def source(model: models.Model) -> Source:
    """Return what a file says of a network.

    Raises:
        ImportError: the transformers that is installed does not have the family.
    """
    return _plain(model) if model.family == models.Model.family and model.labels else _seen(model)


def _plain(model: models.Model) -> Source:
    sizes = {
        "num_hidden_layers": model.layers,
        "intermediate_size": model.mlp,
        "image_size": model.image,
        "patch_size": model.patch,
    } | ({"num_labels": model.labels} if model.labels != 2 else {})  # noqa: PLR2004 - transformers' default
    return Source(
        model,
        "from transformers import ViTConfig, ViTForImageClassification",
        f"ViTForImageClassification(ViTConfig(hidden_size={model.width}, num_attention_heads={model.heads}, **sizes))",
        f"sizes = {repr(sizes).replace(chr(39), chr(34))}",
        inputs=f"torch.randn(1, 3, {model.image}, {model.image})",
    )


def _seen(model: models.Model) -> Source:
    """Return what is seen of a network that is built."""
    from headcount.models.isotropic import ATTRIBUTES, Number  # noqa: PLC0415 - torch and transformers, for these only
    from headcount.pruning.network import axes  # noqa: PLC0415 - as above

    family = models.adapter(model.family)
    net = family.build(model)
    blocks, given = family.blocks(net), family.inputs(model)
    paths = {module: _path(name) for name, module in net.named_modules()}
    fused = blocks[0].query is blocks[0].key
    layers: dict[str, list[Any]] = {
        **(
            {_FUSED: [b.query for b in blocks]}
            if fused
            else {n: [b.projections[i] for b in blocks] for i, n in enumerate("qkv")}
        ),
        "out": [b.out for b in blocks],
        "fc1": [b.fc1 for b in blocks],
        "fc2": [b.fc2 for b in blocks],
        "attention": [b.attention for b in blocks],
        "block": [b.layer for b in blocks],
        "reduction": [b.reduction[0] if b.reduction else None for b in blocks],
    }
    ignored = tuple(paths[module] for module in family.ignored(net))
    counts = {Number.HEADS: "heads", Number.HEAD_DIM: "head dim", Number.CHANNELS: "channels"}
    pooler, classifier = family.pooler(net), family.classifier(net)
    return Source(
        model,
        _imports(net, model),
        **_made(net, family, model),
        lines={name: _found(name, [paths.get(module, "None") for module in found]) for name, found in layers.items()}
        | ({"ignored": _listed("ignored", ignored)} if len(ignored) > 1 else {}),
        called={name: _FUSED if fused else name for name in "qkv"},
        numbers={name: _numbers(layer) for name, layer in zip("qkv", blocks[0].projections, strict=True)},
        ignored=("*ignored",) if len(ignored) > 1 else ignored,
        classifier=paths[classifier] if classifier is not None else "",
        inputs=_inputs(given),
        by_name=isinstance(given, dict),
        output="" if not model.traits.prefix else ".logits" if model.labels else "[0]",
        own_sizes=tuple((n, counts[kind]) for n, kind in ATTRIBUTES.items() if hasattr(blocks[0].attention, n)),
        pooler=paths[pooler] if pooler is not None else "",
        places={
            name: tuple(_places(name, parameter.shape, axes(net, model)[name]))
            for name, parameter in net.named_parameters()
        },
        kinds={name: type(module).__name__ for name, module in net.named_modules()},
    )


def _path(name: str) -> str:
    """Return a module's name as a person writes it: `model.encoder.layer[0].query`."""
    return "model" + "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in filter(None, name.split(".")))


def _found(name: str, paths: Sequence[str]) -> str:
    """Return the line that finds a layer of each block."""
    if len(paths) == 1:
        return f"{name} = {paths[0]}"
    parts = [re.split(r"\b(\d+)\b", path) for path in paths]
    for place in range(1, min(map(len, parts)), 2):
        if [path[place] for path in parts] == [*map(str, range(len(paths)))]:
            alike = {tuple("i" if at == place else part for at, part in enumerate(path)) for path in parts}
            if len(alike) == 1:
                return f"{name} = [{''.join(*alike)} for i in range({len(paths)})]"
    return _listed(name, paths)


def _listed(name: str, paths: Iterable[str]) -> str:
    line = f"{name} = [{', '.join(paths)}]"
    return line if len(line) <= _WIDTH else f"{name} = [\n" + "".join(f"    {path},\n" for path in paths) + "]"


def _numbers(layer: Any) -> str:
    if hasattr(layer, "in_proj_bias"):
        return "in_proj_bias"
    return "bias" if layer.bias is not None else _COLUMN


def _imports(net: Any, model: models.Model) -> str:
    if not model.traits.prefix:
        repeats = model.traits.queries_per_kv > 1
        return "from transformers.integrations.sdpa_attention import repeat_kv" if repeats else ""
    return f"from transformers import {type(net.config).__name__}, {type(net).__name__}"


def _made(net: Any, family: Any, model: models.Model) -> dict[str, str]:
    """Return the expression that makes a network, and what stands before it."""
    if not model.traits.prefix:
        return {"made": "Net()"}
    given = family.arguments(model)
    inner = [wrapped(name, _items(value)) for name, value in given.items() if isinstance(value, dict)]
    items = [
        f'"{name}": {name}' if isinstance(value, dict) else item
        for (name, value), item in zip(given.items(), _items(given), strict=True)
    ]
    lines = "\n".join((*inner, wrapped("sizes", items)))
    pooling = ", add_pooling_layer=False" if not model.labels and _pools(net) else ""
    return {"made": f"{type(net).__name__}({type(net.config).__name__}(**sizes){pooling})", "sizes": lines}


def _items(given: Mapping[str, Any]) -> list[str]:
    return [f'"{name}": {value!r}'.replace("'", '"') for name, value in given.items()]


def wrapped(name: str, items: list[str]) -> str:
    """Return the lines that put items into a dictionary."""
    lines = [f"{name} = {{{items[0]}"]
    for item in items[1:]:
        fits = len(f"{lines[-1]}, {item}}}") <= _WIDTH
        lines = [*lines[:-1], f"{lines[-1]}, {item}"] if fits else [*lines, f"{name} |= {{{item}"]
    return "\n".join(f"{line}}}" for line in lines)


def _pools(net: Any) -> bool:
    return "add_pooling_layer" in type(net).__init__.__code__.co_varnames


def _inputs(given: Any) -> str:
    if isinstance(given, dict):
        return wrapped("inputs", [f'"{name}": {_inputs(value)}' for name, value in given.items()])
    shape = ", ".join(map(str, given.shape))
    return f"torch.randn({shape})" if given.is_floating_point() else f"torch.tensor({given.tolist()})"


def _places(name: str, shape: Iterable[int], axes: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, Place]]:
    for dim, (size, axis) in enumerate(zip(shape, axes, strict=True)):
        for dimension in dict.fromkeys(axis):
            parts = tuple(part for part, named in enumerate(axis) if named == dimension)
            yield dimension, Place(name, dim, parts, len(parts) < len(axis), size // len(axis))
