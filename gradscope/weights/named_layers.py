"""Names of arrays that say what they are: those of our own saved runs, and of PsychRNN.

PsychRNN (Ehrlich et al. 2021, eNeuro 8(1)) saves the effective weights, masks and Dale's law
already applied, of a rate network h ← (1 − α) h + α (W φ(h) + U x + b): W multiplies φ of the
state. It saves neither α nor φ.
"""

from collections.abc import Iterable, Iterator

from gradscope.weights.contents import WeightFile
from gradscope.weights.layers import LayerKind, Readout, RecurrentLayer, StateKind, as_vector

OURS = ("input_weights", "recurrent_weights", "hidden_bias", "output_weights", "output_bias")
PSYCHRNN = ("W_in", "W_rec", "b_rec", "W_out", "b_out")


def named_layers(file: WeightFile) -> Iterator[RecurrentLayer]:
    """Yield the layer of a run that gradscope saved, or of a PsychRNN network."""
    if set(OURS[:2]) <= set(file.arrays):
        settings = file.about.get("settings", {})
        activation = settings.get("activation") if isinstance(settings, dict) else None
        yield RecurrentLayer(
            kind=LayerKind.RNN,
            name="run",
            input_weights=file.arrays["input_weights"],
            recurrent_weights=file.arrays["recurrent_weights"],
            input_bias=as_vector(file.arrays.get("hidden_bias")),
            activation=activation if isinstance(activation, str) else None,
        )
    if set(PSYCHRNN[:3]) <= set(file.arrays):
        yield RecurrentLayer(
            kind=LayerKind.RNN,
            name="W_rec",
            input_weights=file.arrays["W_in"],
            recurrent_weights=file.arrays["W_rec"],
            input_bias=as_vector(file.arrays["b_rec"]),
            leak=None,
            state=StateKind.PRE,
        )


def named_readouts(file: WeightFile, layers: Iterable[RecurrentLayer]) -> Iterator[Readout]:
    """Yield the output layer that belongs to such a layer."""
    names = {"run": OURS[3:], "W_rec": PSYCHRNN[3:]}
    for layer in layers:
        weights_name, bias_name = names[layer.name]
        weights, bias = file.arrays.get(weights_name), file.arrays.get(bias_name)
        if weights is not None and weights.shape[1:] == (layer.hidden_size,):
            yield Readout(weights_name, weights, as_vector(bias))
