"""Where projections stand in a decoder: in which layer, and as what of it.

Model builders and exporters tell it by names: `/model/layers.3/attn/qkv_proj/MatMul_Q4`. In a graph
without such names the attention operators tell: what the n-th of them reads is the Q, K or V of
layer n, to which all belongs that stands before the next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quantgate.packages.attention import attention_nodes
from quantgate.packages.layers import WEIGHTS, Projection

if TYPE_CHECKING:
    import onnx

QKV: Final = "qkv"
HEAD: Final = "head"
EMBEDDING: Final = "embedding"
# In the order of a layer.
ROLES: Final = ("q", "k", "v", QKV, "o", "gate", "up", "gate up", "down")

_LAYER: Final = re.compile(r"(?:^|[./_])(?:layers?|h|blocks?)[._](\d{1,6})[./](.+)")
_SEPARATOR: Final = re.compile(r"[./]")
# Parts of a name that say what a node or a tensor is, and not what it is for.
_KIND: Final = re.compile(r"(?:MatMul|Gemm|QMoE|MoE|q?weight)\w*|\d+")
_OWN_NUMBER: Final = re.compile(r"[._]?\d+$")
_ALIASES: Final[Mapping[str, str]] = {
    "out": "o",
    "query_key_value": QKV,
    "c_attn": QKV,
    "gate_up": "gate up",
}
# A name may be a stranger's, and is shown in many places.
_HARMFUL: Final = re.compile(r"[^A-Za-z0-9_ -]")
_LONGEST: Final = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where a projection stands.

    Attributes:
        layer: number of its layer; None outside of all.
        role: one of `ROLES`, `HEAD`, or a name of its own of letters, digits and `_ -?`.
    """

    layer: int | None
    role: str


def places(graph: onnx.GraphProto, found: Sequence[Projection], logits: str) -> list[Place]:
    """The place of each of `found`, in its order.

    Args:
        graph: a decoder.
        found: its projections, in its order.
        logits: name of its logits.
    """
    links = _Links(graph, found)
    head, read = links.head(logits), links.read_by_attention()
    names = [_named(each) for each in found]
    if all(layer is None for layer, _ in names):
        counted = links.behind_attention()
        names = [
            (read[index][0] if index in read else counted[index], name)
            for index, (_, name) in enumerate(names)
        ]
    taken = set(names)
    told = []
    for index, (layer, name) in enumerate(names):
        part = read[index][1] if index in read else ""
        if index == head:
            told.append(Place(None, HEAD))
        elif part and name not in ROLES and (layer, part) not in taken:
            told.append(Place(layer, part))
        else:
            told.append(Place(layer, name))
    return told


def _named(projection: Projection) -> tuple[int | None, str]:
    """Layer and role as a node's name tells them, or else its weights'."""
    for text in (projection.node.name, projection.weights):
        if match := _LAYER.search(text):
            return int(match[1]), _role(match[2])
    return None, _role(projection.node.name)


def _role(name: str) -> str:
    """`q` of `attn/q_proj/MatMul_Q4` and of `self_attn.q_proj.weight`, `gate` of `gate_0`."""
    parts = [part for part in _SEPARATOR.split(name) if part and not _KIND.fullmatch(part)]
    last = _OWN_NUMBER.sub("", parts[-1]).removesuffix("_proj") if parts else ""
    last = _ALIASES.get(last, last) or "other"
    return _HARMFUL.sub("?", last)[:_LONGEST]


class _Links:
    """Who reads what in a graph, from one projection to the next."""

    def __init__(self, graph: onnx.GraphProto, found: Sequence[Projection]) -> None:
        self._nodes = graph.node
        self._attention = attention_nodes(graph)
        self._producers = {name: node for node in graph.node for name in node.output if name}
        self._found = {_output(each.node): index for index, each in enumerate(found)}

    def head(self, logits: str) -> int | None:
        """The one projection that the logits come from; None where there isn't one."""
        sources = self._sources(logits)
        return sources.pop() if len(sources) == 1 else None

    def behind_attention(self) -> list[int | None]:
        """Number of the last attention operator before each projection, itself included."""
        attention = set(map(_output, self._attention))
        last: int | None = None
        numbers: list[int | None] = [None] * len(self._found)
        for output in map(_output, self._nodes):
            if output in attention:
                last = 0 if last is None else last + 1
            if output in self._found:
                numbers[self._found[output]] = last
        return numbers

    def read_by_attention(self) -> dict[int, tuple[int, str]]:
        """Number of the attention operator, and which of Q, K and V it reads, by projection."""
        told: dict[int, tuple[int, str]] = {}
        for number, node in enumerate(self._attention):
            own = self._found.get(_output(node))
            if own is not None:  # it holds the weights of all three itself
                told[own] = number, QKV
                continue
            fused = not any(node.input[1:3])
            parts: dict[int, str] = {}
            for letter, name in zip(QKV, node.input[:3], strict=False):
                for index in self._sources(name):
                    parts[index] = parts.get(index, "") + (QKV if fused else letter)
            for index, part in parts.items():
                told.setdefault(index, (number, part))
        return told

    def _sources(self, name: str) -> set[int]:
        """Projections that a tensor comes from without another multiplication between."""
        sources: set[int] = set()
        seen: set[str] = set()
        pending = [name]
        while pending:
            current = pending.pop()
            if not current or current in seen:
                continue
            seen.add(current)
            if current in self._found:
                sources.add(self._found[current])
                continue
            node = self._producers.get(current)
            if node is not None and not _multiplies(node):
                pending.extend(node.input)
        return sources


def _multiplies(node: onnx.NodeProto) -> bool:
    return bool(node.op_type in WEIGHTS or node.op_type.endswith("Attention"))


def _output(node: onnx.NodeProto) -> str:
    return str(node.output[0]) if node.output else ""
