"""Features put heads in order, as blocks, with the neurons inside them."""

import torch

import weightspace as ws
from tests.architectures import ARCHITECTURES
from tests.architectures.oracle import random_state
from weightspace.alignment import match_activations, merge


def planted(name: str):
    entry = ARCHITECTURES[name]
    net, x = entry.factory().eval(), entry.example()[0]
    spec = ws.derive(net, x)
    a = random_state(net, 1)
    element = ws.sample(spec, 3, max_scale=3.0)
    return net, x, spec, a, element


def test_planted_elements_of_a_transformer_are_undone_heads_included():
    net, x, spec, a, element = planted("vit")
    heads = [space.name for space in spec.free if any(other.within == space.name for other in spec.free)]
    assert any(not torch.equal(element.perm[head], torch.arange(len(element.perm[head]))) for head in heads)
    b = ws.act(element, a, spec)
    found = ws.compose(match_activations(a, b, spec, net, [x, x.flip(0), -x]), element)
    assert all(torch.equal(perm, torch.arange(len(perm))) for perm in found.perm.values())


def test_language_models_are_matched_on_tokens():
    net, x, spec, a, element = planted("gpt_tied")
    b = ws.act(element, a, spec)
    found = ws.compose(match_activations(a, b, spec, net, [x]), element)
    assert all(torch.equal(perm, torch.arange(len(perm))) for perm in found.perm.values())


def test_copies_of_a_transformer_merge_to_it():
    net, x, spec, a, element = planted("vit")
    found = merge([a, ws.act(element, a, spec), a], spec, module=net, example=x, inputs=[x, x.flip(0), -x])
    net.load_state_dict(a)
    assert ws.same_function(net, found.params, x) < 1e-9
    assert found.totals[-1] < 1e-9
