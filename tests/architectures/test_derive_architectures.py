"""Derived specs of real kinds of networks: the function stays, and no scale is missed."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import weightspace as ws
from weightspace.gauge import act, dimension, same_function, sample
from weightspace.nn import Architecture, MatrixFamily, ScaleFamily
from weightspace.spec import Axis, Joined, SymmetrySpec, derive, parse, to_text
from weightspace.view import MatrixView

from . import ARCHITECTURES, REFUSED
from .oracle import random_state
from .reading import assert_read, networks

SMALLER = {
    "attention_cosine": 13,  # lengths of queries and keys do not matter, one scale per head each
    "attention_einsum": 11,  # a head and a coordinate lie on two axes
    "grouped_weight_norm": 9,  # one length for all taps of a kernel
    "low_rank_update": 2,  # products of scales that a sum of weights ties
    "mixed_and_flattened": 7,  # a table of channels and tokens on one axis
    "gmlp": 7,  # one scale for a whole space
    "normalized_mlp": 1,  # F.normalize bounds lengths below
    "shufflenet": 42,  # channels shuffled between groups keep their places, and scales between groups
    "split_attention": 12,  # blocks of a grouped convolution that its other axis does not name
    "stacked_experts": 6,  # one scale for a whole expert
    "swin": 85,  # merged patches
    "weight_norm_mlp": 13,  # directions have no length
}
"""Where fewer scales are found than act, and how many."""
BOUND = ("batchnorm_cnn", "bilinear_product", "lstm_tagger", "layernorm_mlp", "resnet20_option_a")
"""With neurons that are not permuted freely: normalization, products, cells, residual sums."""
GROUPED = set(
    [
        "maxout",
        "mixed_and_flattened",
        "unfold_and_fold",
        "split_attention",
        "resnext",
        "groupnorm_cnn",
        "grouped_weight_norm",
        "autoencoder_transposed",
        "pixel_shuffle_hidden",
        "stacked_experts",
        "relative_positions",
        "attention_separate",
        "attention_chunk",
        "attention_reshape",
        "attention_by_head",
        "attention_einsum",
        "attention_no_norm",
        "attention_qk_norm",
        "attention_cosine",
        "attention_temperature",
        "attention_relative_bias",
        "attention_multi_query",
        "attention_grouped_expand",
        "attention_grouped_matmul",
        "multihead_prenorm",
        "vit",
        "swin",
        "gpt_tied",
        "llama",
        "t5_encoder_decoder",
        "transformer_encoder_post",
        "transformer_encoder_pre",
        "transformer_decoder_layer",
        "mlp_mixer",
        "gmlp",
        "set_transformer",
    ]
)
"""With heads, groups or blocks of neurons, which the scale family refuses."""
UNREAD = {"instancenorm_running"}


@cache
def moved(name: str) -> tuple[nn.Module, tuple[Tensor, ...], SymmetrySpec]:
    """A network with random parameters, its inputs and its spec."""
    entry = ARCHITECTURES[name]
    net, example = entry.factory(), entry.example()
    spec = derive(net, example)
    net.load_state_dict(random_state(net, 1))
    return net, example, spec


def largest_change(net: nn.Module, example: tuple[Tensor, ...], spec: SymmetrySpec, num: int) -> float:
    params = {name: value.detach().expand(num, *value.shape) for name, value in net.state_dict().items()}
    copies = act(sample(spec, 0, num=num), params, spec)
    rows = ({name: value[row] for name, value in copies.items()} for row in range(num))
    return max(same_function(net, row, example) for row in rows)


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - UNREAD))
def test_elements_keep_the_function_and_the_scales_are_all_that_act(name: str) -> None:
    net, example, spec = moved(name)
    assert largest_change(net, example, spec, 5) <= 1e-9
    assert dimension(spec).scales == SMALLER.get(name, ARCHITECTURES[name].scales)
    assert parse(to_text(spec)) == spec


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - UNREAD))
def test_the_matrix_family_keeps_the_laws_and_reads_every_tensor(name: str) -> None:
    spec = moved(name)[2]  # here, where specs are derived once for all tests
    view, params = MatrixView(spec), {key: value[:2] for key, value in networks(name)[0].items()}
    written = view.write(view(params))
    assert all(torch.equal(written[key], params[key]) for key in params)
    assert_read(MatrixFamily(width=8, rounds=2), name, spec, 1e-4)


@pytest.mark.parametrize("name", BOUND)
def test_the_scale_family_keeps_the_laws_and_reads_every_tensor(name: str) -> None:
    # Numbers are told in units of all that their neuron owns, so some weigh little; what is not read moves nothing.
    assert_read(ScaleFamily(width=8, rounds=2), name, moved(name)[2], 1e-6)


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - UNREAD))
def test_the_scale_family_refuses_groups_by_name_and_nothing_else(name: str) -> None:
    family, architecture = ScaleFamily(width=2, rounds=1), Architecture(moved(name)[2])
    if name in GROUPED:
        with pytest.raises(ws.SpecError, match=r"parameter '.+'.*--model\.kind matrix"):
            family.functional(architecture, 1)
    else:
        family.functional(architecture, 1)


def damaged(spec: SymmetrySpec) -> SymmetrySpec | None:
    """``spec`` with the label of one moved axis taken away."""
    for index in reversed(range(len(spec.params))):
        name, axes = spec.params[index]
        for dim, axis in enumerate(axes):
            if any(part.space is not None and _moves(spec, part) for part in axis.parts):
                size = spec.shape(name)[dim]
                changed = (*axes[:dim], Axis(None, 0, size), *axes[dim + 1 :])
                if any(part.over for other in changed for part in other.parts):
                    continue  # its block would be named by no axis
                return replace(spec, params=(*spec.params[:index], (name, changed), *spec.params[index + 1 :]))
    return None


def _moves(spec: SymmetrySpec, part: Axis) -> bool:
    space = spec.space[part.space or ""]
    return not space.fixed and space.size > 1 and not space.ordered and part.over is None


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - UNREAD))
def test_a_damaged_spec_is_caught(name: str) -> None:
    net, example, spec = moved(name)
    wrong = damaged(spec)
    if wrong is not None:
        assert largest_change(net, example, wrong, 2) > 1e-6
    else:
        assert all(space.fixed or space.ordered or space.size == 1 for space in spec.spaces)


@pytest.mark.parametrize("name", sorted(set(REFUSED) - {"product_of_weights", "hypernetwork"}))
def test_what_cannot_be_read_is_refused_by_name_with_the_way_on(name: str) -> None:
    entry = REFUSED[name]
    with pytest.raises(ws.SpecError, match=f"(?i){entry.names}"):
        derive(entry.factory(), entry.example())


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("name", sorted(set(REFUSED) - {"branch_on_values"}))
def test_the_way_on_works_for_all_that_is_refused(name: str) -> None:
    entry = REFUSED[name]
    net = entry.factory()
    spec = derive(net, entry.example(), on_unknown="pin")
    net.load_state_dict(random_state(net, 1))
    assert largest_change(net, entry.example(), spec, 5) <= 1e-9


@pytest.mark.parametrize("name", ["product_of_weights", "hypernetwork"])
def test_computed_weights_are_read(name: str) -> None:
    entry = REFUSED[name]
    net = entry.factory()
    assert largest_change(net, entry.example(), derive(net, entry.example()), 20) <= 1e-9


def test_elements_of_rich_specs_form_a_group() -> None:
    for name in ("vit", "llama", "resnext", "densenet_block", "attention_qk_norm"):
        net, _, spec = moved(name)
        assert any(space.like or space.within for space in spec.spaces)
        params = {key: value.detach() for key, value in net.state_dict().items()}
        g, h = sample(spec, 1), sample(spec, 2)
        step = act(g, act(h, params, spec), spec)
        both = act(ws.compose(g, h), params, spec)
        back = act(ws.inverse(g), act(g, params, spec), spec)
        for key in params:
            torch.testing.assert_close(step[key], both[key], rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(back[key], params[key], rtol=1e-9, atol=1e-9)


def test_joined_axes_print_with_a_plus() -> None:
    spec = moved("densenet_block")[2]
    joined = [axis for _, axes in spec.params for axis in axes if isinstance(axis, Joined)]
    assert joined
    assert any("+" in line for line in to_text(spec).splitlines())


class Causal(nn.Module):
    """Torch's encoder and decoder with a mask that is made inside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 1)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.decoder(x, self.encoder(x, mask=mask), tgt_mask=mask)


def test_a_mask_made_in_forward_is_no_branch_on_values() -> None:
    net, x = Causal().double(), torch.randn(2, 5, 8, dtype=torch.float64)
    spec = derive(net, x)
    net.load_state_dict(random_state(net, 1))
    assert largest_change(net, (x,), spec, 5) <= 1e-9
    assert dimension(spec).scales == 6 * 8 + 2 * 16
