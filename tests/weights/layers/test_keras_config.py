"""Which layers of a Keras model feed one another, from its configuration alone."""

from typing import Any

import pytest

from gradscope.weights.layers.keras_config import feeding_layers


def layer(name: str, class_name: str = "GRU", source: str | None = None, **values: Any) -> Any:
    node = {"class_name": class_name, "config": {"name": name, "return_sequences": True, **values}}
    history = {"class_name": "__keras_tensor__", "config": {"keras_history": [source, 0, 0]}}
    return node | ({"inbound_nodes": [{"args": [history]}]} if source else {})


def two_ways(name: str, inner: Any = None, **values: Any) -> Any:
    given = {"name": name, "layer": inner or layer("in"), "merge_mode": "concat", **values}
    return {"class_name": "Bidirectional", "config": given}


def model(*layers: Any, class_name: str = "Sequential") -> Any:
    return {"class_name": class_name, "config": {"layers": list(layers)}}


def test_each_layer_of_a_sequential_model_feeds_the_next_through_what_changes_nothing() -> None:
    found = feeding_layers(
        model(
            layer("in", "InputLayer"), layer("a"), layer("drop", "Dropout"), layer("b", "LSTM"),
            layer("c", "SimpleRNN"),
        )
    )  # fmt: skip

    assert found == {"b": "a", "c": "b"}


@pytest.mark.parametrize("values", [{}, {"backward_layer": layer("back", go_backwards=True)}])
def test_both_directions_side_by_side_feed_and_are_fed_as_one(values: Any) -> None:
    found = feeding_layers(model(layer("a"), two_ways("b", **values), layer("c", "LSTM")))

    assert found == {"b": "a", "c": "b"}


@pytest.mark.parametrize(
    "lower",
    [
        layer("a", return_sequences=False),
        layer("a", go_backwards=True),
        layer("a", "Bidirectional"),
        layer("a", "Dense"),
        two_ways("a", merge_mode="sum"),
        two_ways("a", layer("in", return_sequences=False)),
        two_ways("a", layer("in", go_backwards=True)),
        two_ways("a", layer("in", "RNN")),
        two_ways("a", two_ways("in")),
        two_ways("a", backward_layer=layer("back")),
        two_ways("a", backward_layer=layer("back", return_sequences=False, go_backwards=True)),
        two_ways("a", backward_layer=layer("back", "RNN", go_backwards=True)),
        "not a layer",
    ],
)
def test_what_hands_on_no_sequence_in_its_order_feeds_nothing(lower: Any) -> None:
    assert feeding_layers(model(lower, layer("b"))) == {}


def test_a_layer_between_that_computes_parts_two_stacks() -> None:
    found = feeding_layers(model(layer("a"), layer("norm", "LayerNormalization"), layer("b")))

    assert found == {}


def test_a_functional_model_is_followed_by_its_connections_and_not_by_its_order() -> None:
    found = feeding_layers(
        model(
            layer("b", source="drop"), layer("drop", "Dropout", source="a"), layer("a", source="x"),
            class_name="Functional",
        )
    )  # fmt: skip

    assert found == {"b": "a"}


def test_of_two_layers_that_one_feeds_the_first_is_above_it() -> None:
    fork = (layer("a"), layer("b", source="a"), layer("c", source="a"))

    assert feeding_layers(model(*fork, class_name="Functional")) == {"b": "a"}


def test_a_layer_that_is_called_twice_is_in_no_stack() -> None:
    shared = layer("a", source="x")
    shared["inbound_nodes"] *= 2
    above, below = layer("b", source="a"), layer("x")

    assert feeding_layers(model(below, shared, above, class_name="Functional")) == {}


def test_a_layer_of_two_inputs_is_in_no_stack() -> None:
    both = layer("c", source="a")
    both["inbound_nodes"][0]["kwargs"] = {"initial_state": ["b", 0, 0]}

    assert feeding_layers(model(layer("a"), layer("b"), both, class_name="Functional")) == {}


@pytest.mark.parametrize(
    "config",
    [None, {}, [], model(), {"class_name": "Sequential"}, model("a", 1, class_name="Functional")],
)
def test_a_configuration_without_layers_has_none_that_feed(config: Any) -> None:
    assert feeding_layers(config) == {}
