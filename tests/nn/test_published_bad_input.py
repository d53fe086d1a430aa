"""Bad names, sizes, architectures and batches are refused in one sentence with the value and the next step."""

import subprocess
import sys
from dataclasses import replace
from itertools import product

import pytest
import torch

import weightspace as ws
from weightspace import ConfigError, SpecError, SpecMismatch
from weightspace.nn import PRESETS
from weightspace.spec import parse
from weightspace.testing import random_params

INR = (2, 5, 4, 3)


@pytest.mark.parametrize("name", ["mnist", "permutation: mnist", "my permutation: mnist_cls", "permutation:", ""])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ConfigError, match="there is no published configuration") as refused:
        ws.nn.paper(name)
    assert repr(name) in str(refused.value)
    assert all(repr(known) in str(refused.value) for known in PRESETS)
    assert "'permutation: NAME'" in str(refused.value)


@pytest.mark.parametrize("operator", ["mnist_edit", "permutation: mnist_edit -B", PRESETS["mnist_edit"]])
def test_an_operator_has_no_length_of_a_vector(operator):
    with pytest.raises(ConfigError, match=r"out=3: an operator returns parameters, not a vector\. Leave out= away"):
        ws.nn.paper(operator, out=3)


@pytest.mark.parametrize("layout", [(), (2,), (2, 1), (2, 0, 1), (2, 3, 0)])
def test_a_layout_needs_a_hidden_layer_and_neurons_in_all(layout):
    with pytest.raises(ConfigError, match=r"Give at least \(inputs, hidden, outputs\)") as refused:
        ws.nn.paper("mnist_cls", layout=layout)
    assert f"layout={layout}" in str(refused.value)


FUNCTIONALS = ["mnist_cls", "hetero", "permutation: mnist_cls"]
SIZES = [*product(FUNCTIONALS, ["width", "rounds", "out"]), *product(["mnist_edit"], ["width", "rounds"])]


@pytest.mark.parametrize("value", [0, -3])
@pytest.mark.parametrize(("name", "option"), SIZES)
def test_a_size_below_one_is_refused(name, option, value):
    with pytest.raises(ConfigError, match=rf"{option}={value} is too small for a metanetwork\. Give 1 or more"):
        ws.nn.paper(name, **{option: value})


NO_CHAINS = {
    "residual": "in[2] fixed\nh0[3] sign\nh1[3] sign\nout[1] fixed\n\na h0 in~\nb h1 h0~\nskip h1 in~\nc out h1~",
    "two inputs": "in[2] fixed\nin2[2] fixed\nh0[3] sign\nout[1] fixed\n\na h0 in~\nb h0 in2~\nc out h0~",
    "two outputs": "in[2] fixed\nh0[3] sign\nout[1] fixed\nout2[1] fixed\n\na h0 in~\nb out h0~\nc out2 h0~",
    "two weights": "in[2] fixed\nh0[3] sign\nout[1] fixed\n\na h0 in~\nb h0 in~\nc out h0~",
    "recurrent": "in[2] fixed\nh0[3] sign\nout[1] fixed\n\na h0 in~\nb h0 h0~\nc out h0~",
    "loop": "in[2] fixed\nh0[3] sign\nh1[3] sign\nout[1] fixed\n\na h0 in~\nb h1 h0~\nback h0 h1~\nc out h1~",
    "island": "in[2] fixed\nh0[3] sign\nh1[2] sign\nout[1] fixed\n\na h0 in~\nb out h0~\nc h1",
    "nothing hidden": "in[2] fixed\nout[1] fixed\n\na out in~",
    "fixed in between": "in[2] fixed\nh0[3] fixed\nout[1] fixed\n\na h0 in~\nb out h0~",
    "free inputs": "in[2] sign\nh0[3] sign\nout[1] fixed\n\na h0 in~\nb out h0~",
}


@pytest.mark.parametrize("name", ["mnist_cls", "permutation: mnist_edit"])
@pytest.mark.parametrize("text", NO_CHAINS.values(), ids=NO_CHAINS)
def test_what_is_no_chain_of_layers_is_refused_with_the_models_that_read_it(name, text):
    spec = parse(text)
    with pytest.raises(SpecError, match=r"a chain of layers.*is not.*ws\.nn\.InvariantFunctional") as refused:
        ws.nn.paper(name, layout=spec)
    assert str(spec) in str(refused.value)


def test_several_bias_numbers_per_neuron_are_refused():
    for biases in ("b h0\nb2 h0", "b h0 .2"):
        spec = parse(f"in[2] fixed\nh0[3] sign\nout[1] fixed\n\na h0 in~\n{biases}\nc out h0~")
        with pytest.raises(SpecError, match=r"one bias per neuron, space 'h0' has 2 numbers.*ws\.nn\.Equivariant"):
            ws.nn.paper("mnist_cls", layout=spec)


@pytest.mark.parametrize(
    ("name", "wanted", "found"),
    [
        ("mnist_cls", "sign", "positive"),
        ("mnist_edit -B", "sign", "positive"),
        ("cifar10 relu", "positive", "sign"),
        ("svhn relu -B", "positive", "nonzero"),
        ("cifar10 tanh", "sign", "trivial"),
    ],
)
def test_another_scale_group_is_refused_with_both_names(name, wanted, found):
    word = "" if found == "trivial" else found
    spec = parse(f"in[2] fixed\nh0[3] {word}\nout[1] fixed\n\na h0 in~\nb out h0~")
    message = rf"have {wanted} scales; space 'h0' has {found}\. Choose another configuration, or the baseline"
    with pytest.raises(SpecError, match=message):
        ws.nn.paper(name, layout=spec)


def test_mixed_models_refuse_networks_of_other_groups():
    spec = parse("in[2] fixed\nh0[3]\nout[1] fixed\n\na h0 in~\nb out h0~")
    with pytest.raises(SpecError, match="with signs and with positive scales"):
        ws.nn.paper("hetero", layout=spec)


@pytest.mark.parametrize("name", ["mnist_cls", "mnist_edit", "cifar10 relu -B", "hetero"])
def test_another_number_type_is_refused_with_the_conversion(name):
    model = ws.nn.paper(name, layout=INR, width=4)
    params = random_params(model.spec, 2, dtype=torch.float64)
    mask = [torch.tensor([True, False])] if name == "hetero" else []
    with pytest.raises(SpecMismatch, match=r"float64.*float32.*model\.to\(torch\.float64\)"):
        model(params, *mask)


@pytest.mark.parametrize("name", ["mnist_cls", "mnist_edit", "cifar10 relu -B"])
def test_networks_of_another_architecture_are_refused_by_name(name):
    model = ws.nn.paper(replace(PRESETS[name], kernel=1), layout=INR, width=4)
    params = random_params(model.spec, 2)
    with pytest.raises(SpecMismatch, match=r"'layers\.1\.weight' has shape \[2, 4, 6\]"):
        model(params | {"layers.1.weight": torch.zeros(2, 4, 6)})
    with pytest.raises(SpecMismatch, match=r"'layers\.2\.bias' is missing"):
        model({key: value for key, value in params.items() if key != "layers.2.bias"})
    with pytest.raises(SpecMismatch, match="Stack it"):
        model({key: value[0] for key, value in params.items()})


def test_a_mixed_batch_needs_one_kind_per_network():
    model = ws.nn.paper("hetero", layout=(1, 3, 2), width=4)
    with pytest.raises(
        ConfigError, match=r"positive is torch.bool of shape \(2,\) for 3 networks\. Give one bool each"
    ):
        model(random_params(model.spec, 3), torch.tensor([True, False]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"direction": "forward", "positions_in_messages": True}, "goes with direction='bidirectional'"),
        ({"group": "hetero", "readout": "operator"}, "Give a preset per group"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        replace(PRESETS["mnist_cls"], **change)


WRONG_WORDS = """
from dataclasses import replace
import weightspace as ws
from weightspace import ConfigError
from weightspace.testing import random_params

def refused(words, make):
    try:
        make()
    except ConfigError as error:
        assert words in str(error), error
    else:
        raise AssertionError(words)

plain = replace(ws.nn.PRESETS["mnist_cls"], layout=(1, 2, 2), width=2, rounds=1)
for option in ("direction", "group", "io", "readout", "sign", "io_positions"):
    refused(f"{option}='other' is unknown", lambda: replace(plain, **{option: "other"}))
refused("layout=3 is no layout", lambda: ws.nn.paper("mnist_cls", layout=3))
for option, value in {"width": 2.5, "rounds": "4", "out": None, "layout": (2, 3.0, 1)}.items():
    refused(f"{option}={value!r}", lambda: ws.nn.paper(replace(plain, **{option: value})))
mixed = ws.nn.paper(replace(plain, group="hetero"))
refused("positive=[True, False] is no tensor", lambda: mixed(random_params(mixed.spec, 2), [True, False]))
"""


def test_unknown_words_and_layouts_are_refused_where_types_are_not_checked():
    # The suite checks annotations while it runs; a user's program does not.
    subprocess.run([sys.executable, "-c", WRONG_WORDS], check=True)


def test_a_mask_of_numbers_is_refused():
    model = ws.nn.paper("hetero", width=4, layout=(1, 2, 2))
    with pytest.raises(ConfigError, match="one bool each"):
        model(random_params(model.spec, 2), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    "name",
    ["mnist_cls", "mnist_edit -B", "cifar10 relu -B", "hetero", "permutation: mnist_cls", "permutation: mnist_edit"],
)
def test_an_empty_stack_and_a_single_network_are_refused(name):
    model = ws.nn.paper(name, width=2, rounds=1)
    params = random_params(model.spec, 1)
    mask = [torch.tensor([True])] if name == "hetero" else []
    with pytest.raises(SpecMismatch, match=r"the stack holds 0 networks.*Give at least one"):
        model({key: value[:0] for key, value in params.items()}, *(part[:0] for part in mask))
    with pytest.raises(SpecMismatch, match=r"of one network.*Stack it"):
        model({key: value[0] for key, value in params.items()}, *mask)


def test_a_kernel_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"kernel=0 is too small"):
        ws.nn.paper(replace(PRESETS["cifar10 relu"], kernel=0))
