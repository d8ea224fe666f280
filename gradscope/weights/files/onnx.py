"""An ONNX graph (``.onnx``): its RNN, GRU and LSTM nodes under PyTorch's names.

A node has W (N,G·H,D), R (N,G·H,H) and B (N,2·G·H) for N directions, PyTorch's but for the order
of the gates; what it says of φ and the reset gate is ``stated``. Nothing is run, and no other file
is opened. Source: ONNX 1.23, ``docs/Operators.md`` and ``onnx/onnx.proto``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from gradscope.data.columns import quoted
from gradscope.errors import WeightsError, install_line
from gradscope.weights.files.contents import Gathering, naming

REMEDY = "export it again, or give the framework's own weight file"
FIELD_BYTES = 256
"""What protobuf may take for a field of two bytes that is a message."""

FIELD = re.compile(rb"([\x80-\xff]{0,9}[\0-\x7f])([\x80-\xff]{0,9}[\0-\x7f])?")
"""A tag, and a length or value, of 7 bits a byte, the lowest first."""

GATES = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}
"""Where each of our gates stands in ONNX's orders: h; z, r, h; i, o, f, c."""

FUNCTIONS = {"RNN": [b"Tanh"], "GRU": [b"Sigmoid", b"Tanh"], "LSTM": [b"Sigmoid", b"Tanh", b"Tanh"]}
SIDES = {b"forward": ("",), b"reverse": ("_reverse",), b"bidirectional": ("", "_reverse")}
PASSING = ("Squeeze", "Unsqueeze", "Transpose", "Reshape", "Identity", "Dropout", "Cast")
"""What may stand between two layers, and leaves every number as it is."""


def gather(file: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Read the constants of a graph, those of recurrent nodes under PyTorch's names; return what
    these state. WeightsError if a node is nested, or its equations or weights are not known.
    """
    try:
        from onnx import ModelProto, helper, numpy_helper
    except ImportError as error:
        text = f"it needs onnx, which is not installed; {install_line('onnx')}"
        raise WeightsError(text) from error
    raw = file.read()
    _count_fields(raw, ModelProto.DESCRIPTOR, gathering)
    model = ModelProto.FromString(raw)
    _refuse_other_kinds(model)
    constants = {each.name: each for each in model.graph.initializer}
    named = any("weight_hh" in name for name in constants)  # As torch.onnx leaves them, unfolded

    def numbers(name: str) -> Any:
        if name not in constants:
            raise WeightsError(f"{quoted(name)} is computed in the graph, no constant; {REMEDY}")
        if constants[name].data_location == constants[name].EXTERNAL:
            raise WeightsError(
                f"{quoted(name)} is kept in another file, which is not opened; put all into one: "
                "onnx.save(onnx.load('FILE'), 'whole.onnx')"
            )
        return numpy_helper.to_array(constants[name])

    sources: dict[str, str] = {}
    below: dict[Any, Any] = {}
    stated, used = {}, set[str]()
    for node in model.graph.node:
        values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        kind, names = node.op_type, list(node.input)
        if kind == "Constant" and "value" in values:
            constants[node.output[0]] = values["value"]
        elif kind == "Identity" and names[0] in constants:
            constants[node.output[0]] = constants[names[0]]
            used.add(node.output[0])
        elif kind in PASSING:
            sources[node.output[0]] = sources.get(names[0], names[0])
        elif kind in GATES and (names[2] in constants or not named):
            title = node.name or node.output[-1]
            with naming(f"{kind} {quoted(title)}"):
                inputs = {
                    i: numbers(each)
                    for i, each in enumerate(names)
                    if each in constants or (each and i in (1, 2, 3, 7))
                }
                told = _equations(kind, values, inputs)
            sides, key = SIDES[values.get("direction", b"forward")], (kind, str(told))
            source = sources.get(names[0], names[0])
            # A layer reads the sequence of one below it, which has as many units as it has inputs.
            base, layer = below.pop((source, inputs[1].shape[2], *key), (title, 0))
            if not sides[0]:
                below[node.output[0], inputs[2].shape[2] * len(sides), *key] = base, layer + 1
            for part, array in _renamed(kind, inputs, [f"_l{layer}{side}" for side in sides]):
                gathering.keep(f"{base}.{part}", array)
            used.update(names)
            stated[base] = told
    for name in [each for each in constants if each not in used]:
        if (array := numbers(name)).dtype.kind in "fV" and array.ndim:
            gathering.keep(name, array)
    return {"stated": stated}


def _renamed(
    kind: str, inputs: Mapping[int, Any], endings: list[str]
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield the weights of each direction under PyTorch's names, their gates in our order."""
    for place, ending in enumerate(endings):
        parts = {"weight_ih": inputs[1][place], "weight_hh": inputs[2][place]}
        if 3 in inputs:
            parts["bias_ih"], parts["bias_hh"] = np.split(inputs[3][place], 2)
        for part, array in parts.items():
            blocks = np.split(array, len(GATES[kind]))
            yield f"{part}{ending}", np.concatenate([blocks[index] for index in GATES[kind]])


def _equations(kind: str, values: Mapping[str, Any], inputs: Mapping[int, Any]) -> dict[str, Any]:
    """Return what a node states; WeightsError if its equations are not those of a cell of ours."""
    n, functions = len(FUNCTIONS[kind]), values.get("activations") or FUNCTIONS[kind]
    scales = [*values.get("activation_alpha", []), *values.get("activation_beta", [])]
    half = len(scales) // 2
    usual = b"Elu" not in functions and np.allclose(scales, [0.2] * half + [0.5] * half)
    others = {
        "clipped pre-activations": "clip" in values,
        "coupled gates (input_forget)": values.get("input_forget"),
        "other functions in reverse": functions != functions[:n] * (len(functions) // n),
        "two functions φ": kind == "LSTM" and functions[1] != functions[2],
        "functions with constants of their own": scales and not usual,
        "a constant h_0 or c_0": np.any(inputs.get(5, 0)) or np.any(inputs.get(6, 0)),
        "peepholes": np.any(inputs.get(7, 0)),
    }
    for what in [each for each, found in others.items() if found]:
        raise WeightsError(f"it has {what}, which is not read; train and export it without")
    words = [each.decode().lower().replace("hardsig", "hard_sig") for each in functions]
    told: dict[str, Any] = {"activation": words[n - 1]}
    if kind != "RNN":
        told["gate_activation"] = words[0]
    if kind == "GRU":
        told["reset_after"] = bool(values.get("linear_before_reset"))
    return told


def _refuse_other_kinds(model: Any) -> None:
    """Raise WeightsError for a recurrent node within another, or of a kind that is not read."""
    holders = [("", model.graph), *(("a function", each) for each in model.functions)]
    for holder, graph in holders:  # Those within them are added on the way
        for node in graph.node:
            if node.op_type.endswith(tuple(GATES)) and (holder or node.op_type not in GATES):
                within = f", within {holder}," if holder else ""
                raise WeightsError(
                    f"it has a {quoted(node.op_type)}{within} which is not read; {REMEDY}"
                )
            for each in node.attribute:
                inside = [*each.graphs, *([each.g] if each.HasField("g") else [])]
                holders += [(quoted(node.op_type), graph) for graph in inside]


def _count_fields(raw: bytes, kind: Any, gathering: Gathering) -> None:
    """Count the fields of messages within messages before protobuf makes objects of them."""
    waiting = [(kind, 0, len(raw))]
    while waiting:
        kind, place, end = waiting.pop()
        while place < end:
            gathering.spend(FIELD_BYTES, "the graph")
            field = FIELD.match(raw, place)
            tag, size = (
                sum((b & 127) << 7 * i for i, b in enumerate(part or b""))
                for part in field.groups()
            )
            wire = tag & 7
            if wire == 2 and (below := kind.fields_by_number.get(tag >> 3)) and below.message_type:
                waiting.append((below.message_type, field.end(), min(field.end() + size, end)))
            place = field.end(2 if wire in (0, 2) else 1) + {1: 8, 2: size, 5: 4}.get(wire, 0)
