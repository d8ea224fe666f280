"""An ONNX graph (``.onnx``): its RNN, GRU and LSTM nodes under PyTorch's names.

A node has W (N,G·H,D), R (N,G·H,H) and B (N,2·G·H) for N directions, PyTorch's but for the order
of the gates; what it says of φ and the reset gate is ``stated``. Nothing is run, and no other file
is opened. Source: ONNX 1.23, ``docs/Operators.md`` and ``onnx/onnx.proto``.
"""

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from gradscope.data.columns import quoted
from gradscope.errors import WeightsError, install_line
from gradscope.weights.files.contents import Gathering, naming
from gradscope.weights.files.tensors import flat_numbers

REMEDY = "export it again, or give the framework's own weight file"
FIELD_BYTES = 256
"""What protobuf may take for a field of two bytes that is a message."""

VARINT, LENGTH, FIXED = 0, 2, {1: 8, 5: 4}
"""Wire types of a number and of what has a length, and the bytes of the others by theirs."""

GATES = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}
"""Where each of our gates stands in ONNX's orders: h; z, r, h; i, o, f, c."""

FUNCTIONS = {"RNN": [b"Tanh"], "GRU": [b"Sigmoid", b"Tanh"], "LSTM": [b"Sigmoid", b"Tanh", b"Tanh"]}
SIDES = {b"forward": ("",), b"reverse": ("_reverse",), b"bidirectional": ("", "_reverse")}
PASSING = ("Squeeze", "Unsqueeze", "Transpose", "Reshape", "Identity", "Dropout", "Cast")
"""What may stand between two layers, and leaves every number as it is."""

W, R, B, INITIAL_H, INITIAL_C, PEEPHOLES = 1, 2, 3, 5, 6, 7
"""Inputs of a node."""


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
    sources: dict[str, str] = {}
    below: dict[Any, tuple[str, int]] = {}
    stated: dict[str, Any] = {}
    used = set[str]()
    for node in model.graph.node:
        values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        names, output = [*node.input, ""], node.output[0]
        source = sources.get(names[0], names[0])
        sources[output] = source if node.op_type in PASSING else output
        if node.op_type == "Constant" and "value" in values:
            constants[output] = values["value"]
        elif node.op_type == "Identity" and names[0] in constants:
            constants[output] = constants[names[0]]
            used.add(names[0])
        elif node.op_type in GATES:
            title, sides = node.name or node.output[-1], SIDES[values.get("direction", b"forward")]
            with naming(f"{node.op_type} {quoted(title)}"):
                inputs = _inputs(names, constants, numpy_helper.to_array)
                told = _equations(node.op_type, values, inputs)
            # The layer below is what it reads from, of as many units as it has inputs.
            base, layer = below.pop((source, inputs[W].shape[2], str(told)), (title, 0))
            if not sides[0]:
                below[output, inputs[R].shape[2] * len(sides), str(told)] = base, layer + 1
            stated[base] = told
            used.update(names)
            for part, array in _our_order(node.op_type, inputs, sides).items():
                gathering.keep(f"{base}.{part.replace('#', str(layer))}", array)
    others = [name for name in constants if name not in used]
    for place, array in _inputs(others, constants, numpy_helper.to_array).items():
        if array.dtype.kind == "f" and array.ndim:
            gathering.keep(others[place], array)
    return {"stated": stated}


def _inputs(names: list[str], constants: dict[str, Any], to_array: Any) -> dict[int, Any]:
    """Return what is constant among a node's inputs; WeightsError if its weights are not."""
    found = {}
    for place, name in enumerate(names):
        if name in constants:
            if constants[name].data_location == constants[name].EXTERNAL:
                fault = f"{quoted(name)} is kept in another file, which is not opened"
                remedy = "put all into one: onnx.save(onnx.load('FILE'), 'whole.onnx')"
                raise WeightsError(f"{fault}; {remedy}")
            array = to_array(constants[name])
            # NumPy does not know bfloat16, which float32 holds exactly.
            if array.dtype.kind == "V":
                array = flat_numbers(array.tobytes(), "bfloat16").reshape(array.shape)
            found[place] = array
        elif name and place in (W, R, B, PEEPHOLES):
            raise WeightsError(f"{quoted(name)} is computed in the graph, no constant; {REMEDY}")
    return found


def _our_order(kind: str, inputs: Mapping[int, Any], sides: tuple[str, ...]) -> dict[str, Any]:
    """Return the arrays of each direction under PyTorch's names, # for the layer."""
    found = {}
    for place, side in enumerate(sides):
        biases = np.split(inputs[B][place], 2) if B in inputs else []
        parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        for part, array in zip(parts, (inputs[W][place], inputs[R][place], *biases), strict=False):
            blocks = np.split(array, len(GATES[kind]))
            found[f"{part}_l#{side}"] = np.concatenate([blocks[index] for index in GATES[kind]])
    return found


def _equations(kind: str, values: Mapping[str, Any], inputs: Mapping[int, Any]) -> dict[str, Any]:
    """Return what a node states; WeightsError if its equations are not those of a cell of ours."""
    n, functions = len(FUNCTIONS[kind]), values.get("activations") or FUNCTIONS[kind]
    alpha, beta = values.get("activation_alpha", []), values.get("activation_beta", [])
    hard_sigmoid = b"Elu" not in functions and np.allclose(alpha, 0.2) and np.allclose(beta, 0.5)
    others = {
        "clipped pre-activations": "clip" in values,
        "coupled gates (input_forget)": values.get("input_forget"),
        "other functions in reverse": functions != functions[:n] * (len(functions) // n),
        "two functions φ": kind == "LSTM" and functions[1] != functions[2],
        "functions with constants of their own": (alpha or beta) and not hard_sigmoid,
        "a constant h_0": np.any(inputs.get(INITIAL_H, 0)),
        "a constant c_0": np.any(inputs.get(INITIAL_C, 0)),
        "peepholes": np.any(inputs.get(PEEPHOLES, 0)),
    }
    for what in [each for each, found in others.items() if found]:
        raise WeightsError(f"it has {what}, which is not read; train and export it without")
    words = [each.decode().lower().replace("hardsigmoid", "hard-sigmoid-0.2") for each in functions]
    gated = {"gate_activation": words[0]} if kind != "RNN" else {}
    reset = {"reset_after": bool(values.get("linear_before_reset"))} if kind == "GRU" else {}
    return {"activation": words[n - 1], **gated, **reset}


def _refuse_other_kinds(model: Any) -> None:
    """Raise WeightsError for a recurrent node within another, or of a kind that is not read."""
    holders = [("", model.graph), *((", within a function", each) for each in model.functions)]
    for holder, graph in holders:  # Those within them are added on the way
        for node in graph.node:
            kind = quoted(node.op_type)
            if node.op_type.endswith(tuple(GATES)) and (holder or node.op_type not in GATES):
                raise WeightsError(f"it has a {kind}{holder}, which is not read; {REMEDY}")
            for each in node.attribute:
                holders += [(f", within {kind}", graph) for graph in (*each.graphs, each.g)]


def _count_fields(raw: bytes, kind: Any, gathering: Gathering) -> None:
    """Count the fields of messages within messages before protobuf makes objects of them."""
    waiting = [(kind.fields_by_number, 0, len(raw))]
    while waiting:
        fields, place, end = waiting.pop()
        while place < end:
            gathering.spend(FIELD_BYTES, "the graph")
            tag, place = _varint(raw, place)
            wire, size = tag & 7, FIXED.get(tag & 7, 0)
            if wire in (VARINT, LENGTH):
                value, place = _varint(raw, place)
                size = value if wire == LENGTH else 0
            field = fields.get(tag >> 3)
            if wire == LENGTH and field and field.message_type:
                inside = field.message_type.fields_by_number
                waiting.append((inside, place, min(place + size, end)))
            place += size


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    """Return a number that is written with 7 bits a byte, the lowest first, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        number |= (raw[place] & 127) << shift
        place += 1
        if raw[place - 1] < 128:
            return number, place
    raise ValueError("a number of more than 10 bytes")
