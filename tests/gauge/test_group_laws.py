"""The gauge is a group, it acts, and its elements are the monomial matrices they print as."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specs import seeds, specs

from weightspace import SpecMismatch
from weightspace.gauge import SCALE_GROUPS, Element, act, act_rows, compose, identity, inverse, sample, stack
from weightspace.spec import SymmetrySpec, parse
from weightspace.testing import random_params

Params = dict[str, torch.Tensor]

any_spec = given(spec=specs(), seed=seeds)
numbers = st.sampled_from([None, 3])


def one(spec: SymmetrySpec, seed: int = 0) -> Params:
    """A single random network, float64."""
    return {name: value[0] for name, value in random_params(spec, 1, seed=seed, dtype=torch.float64).items()}


def close(here: Params, there: Params, tolerance: float = 1e-13) -> bool:
    return here.keys() == there.keys() and all(
        torch.allclose(here[name], there[name], rtol=tolerance, atol=0.0) for name in here
    )


def same_element(g: Element, h: Element) -> bool:
    perms = all((g.perm[name] == h.perm[name]).all() for name in g.perm)
    return perms and all(torch.allclose(g.scale[name], h.scale[name], rtol=1e-14, atol=0.0) for name in g.scale)


@any_spec
def test_identity_leaves_parameters_alone(spec, seed):
    params = one(spec, seed)
    moved = act(identity(spec), params, spec)
    assert all(torch.equal(moved[name], params[name]) for name in params)


@given(spec=specs(), seed=seeds, num=numbers)
def test_inverse_undoes_the_action(spec, seed, num):
    params, g = one(spec, seed), sample(spec, seed, num=num, max_scale=64.0)
    back = act(inverse(g), act(g, params, spec), spec)
    assert close(back, {name: value.expand_as(back[name]) for name, value in params.items()})


@given(spec=specs(), seed=seeds, num=numbers)
def test_inverse_composes_to_the_identity_on_both_sides(spec, seed, num):
    g, neutral = sample(spec, seed, num=num), identity(spec)
    for product in (compose(g, inverse(g)), compose(inverse(g), g)):
        assert same_element(product, neutral)


@given(spec=specs(), seed=seeds, num=numbers)
def test_composition_is_associative(spec, seed, num):
    f, g, h = (sample(spec, seed + index, num=num) for index in range(3))
    assert same_element(compose(compose(f, g), h), compose(f, compose(g, h)))


@given(spec=specs(), seed=seeds, left=numbers, right=numbers)
def test_composition_acts_one_after_the_other(spec, seed, left, right):
    g, h = sample(spec, seed, num=left), sample(spec, seed + 1, num=right)
    params = random_params(spec, 3, seed=seed, dtype=torch.float64)
    assert close(act(compose(g, h), params, spec), act(g, act(h, params, spec), spec))


@given(spec=specs(), seed=seeds, num=numbers)
def test_composition_is_the_matrix_product(spec, seed, num):
    g, h = sample(spec, seed, num=num), sample(spec, seed + 1, num=num)
    product = compose(g, h).to_dense()
    for name, matrix in product.items():
        assert torch.allclose(matrix, g.to_dense()[name] @ h.to_dense()[name], rtol=1e-14, atol=0.0)


@any_spec
def test_action_is_that_of_the_dense_matrices(spec, seed):
    params, g = one(spec, seed), sample(spec, seed)
    matrices, inverses = g.to_dense(), inverse(g).to_dense()
    moved = act(g, params, spec)
    for name, axes in spec.params:
        want = params[name]
        for dim, axis in enumerate(axes):
            if axis.space in matrices:
                # The fan-out side is multiplied from the right by the inverse, entry by entry of a repeated axis.
                matrix = matrices[axis.space] if axis.power > 0 else inverses[axis.space].T.contiguous()
                full = torch.kron(matrix, torch.eye(axis.repeat, dtype=torch.float64))
                want = torch.tensordot(full, want, ([1], [dim])).movedim(0, dim)
        assert torch.allclose(moved[name], want, rtol=1e-13, atol=0.0)


@any_spec
def test_batched_elements_act_as_one_by_one(spec, seed):
    params, g = random_params(spec, 3, seed=seed, dtype=torch.float64), sample(spec, seed, num=3)
    singles = [Element({k: v[i] for k, v in g.perm.items()}, {k: v[i] for k, v in g.scale.items()}) for i in range(3)]
    alone = [{name: value[i] for name, value in params.items()} for i in range(3)]
    want = stack([act(h, network, spec) for h, network in zip(singles, alone, strict=True)])
    moved = act(g, params, spec)
    assert all(torch.equal(moved[name], want[name]) for name in want)
    # A batch of elements moves one network to as many places.
    fanned, repeated = act(g, alone[0], spec), stack([act(h, alone[0], spec) for h in singles])
    assert all(torch.equal(fanned[name].expand_as(repeated[name]), repeated[name]) for name in repeated)


@any_spec
def test_one_element_moves_every_network_of_a_stack(spec, seed):
    params, g = random_params(spec, 3, seed=seed, dtype=torch.float64), sample(spec, seed)
    want = stack([act(g, {name: value[i] for name, value in params.items()}, spec) for i in range(3)])
    moved = act(g, params, spec)
    assert all(torch.equal(moved[name], want[name]) for name in want)


@given(spec=specs(), seed=seeds, max_scale=st.sampled_from([1.0, 8.0, 64.0]))
def test_samples_are_deterministic_members_of_the_group(spec, seed, max_scale):
    g = sample(spec, seed, num=3, max_scale=max_scale)
    assert same_element(g, sample(spec, seed, num=3, max_scale=max_scale))
    for space in spec.free:
        assert torch.equal(g.perm[space.name].sort(-1).values, torch.arange(space.size).expand(3, -1))
        scale = g.scale[space.name]
        assert SCALE_GROUPS[space.scale].contains(scale).all()
        assert (scale.abs() <= max_scale * 1.0000001).all()
        assert (scale.abs() >= 0.9999999 / max_scale).all()


@pytest.mark.parametrize("group", SCALE_GROUPS)
def test_groups_contain_exactly_their_members(group):
    s = torch.tensor([1.0, -1.0, 2.0, -2.0, 0.0, float("inf"), float("nan")])
    members = {
        "trivial": [1.0],
        "sign": [1.0, -1.0],
        "positive": [1.0, 2.0],
        "nonzero": [1.0, -1.0, 2.0, -2.0],
    }
    assert s[SCALE_GROUPS[group].contains(s)].tolist() == members[group]


def test_elements_of_other_specs_are_refused_by_name():
    text = "in[2] fixed\nh[3] sign\nout[1] fixed\n\nw h in~\nv out h~"
    spec, other = parse(text), parse(text.replace("h", "g"))
    with pytest.raises(SpecMismatch, match=r"shape None on space 'h'.*ws.sample\(spec\)"):
        act(sample(other), one(spec), spec)
    with pytest.raises(SpecMismatch, match=r"spaces \['h'\] with one of spaces \['g'\]"):
        compose(sample(spec), sample(other))
    with pytest.raises(SpecMismatch, match=r"2 elements cannot act on 3 stacked networks.*num=3"):
        act(sample(spec, num=2), random_params(spec, 3), spec)


@given(spec=specs(), seed=seeds)
def test_a_batch_is_the_stack_of_its_elements(spec, seed):
    batch = sample(spec, seed, num=4)
    again = Element.stack([batch[k] for k in range(4)])
    assert same_element(batch, again)
    assert same_element(batch[1:3], Element.stack([batch[1], batch[2]]))
    assert same_element(batch[torch.tensor([3, 0])], Element.stack([batch[-1], batch[0]]))


@given(spec=specs(), seed=seeds)
def test_one_element_of_a_batch_moves_what_the_batch_moves_there(spec, seed):
    params, batch = random_params(spec, 3, seed=seed, dtype=torch.float64), sample(spec, seed, num=3)
    moved = act(batch, params, spec)
    for k in range(3):
        alone = act(batch[k], {name: value[k] for name, value in params.items()}, spec)
        assert close(alone, {name: value[k] for name, value in moved.items()})


@given(spec=specs(), seed=seeds)
def test_elements_put_into_a_batch_stand_there_and_no_others_change(spec, seed):
    batch, others = identity(spec).expand(4), sample(spec, seed, num=2)
    changed = batch.put(torch.tensor([3, 1]), others)
    assert same_element(changed, Element.stack([identity(spec), others[1], identity(spec), others[0]]))


def test_indexing_one_element_and_stacking_unlike_ones_are_refused():
    spec, other = parse("h[4] sign\nw h .2"), parse("h[5] sign\nw h .2")
    with pytest.raises(SpecMismatch, match="no batch"):
        sample(spec)[0]
    with pytest.raises(IndexError):
        sample(spec, num=2)[2]
    with pytest.raises(SpecMismatch, match="no element to stack"):
        Element.stack([])
    for unlike in (sample(other), sample(spec, num=2)):
        with pytest.raises(SpecMismatch, match="element 1 is"):
            Element.stack([sample(spec), unlike])


TANH = parse("in[3] fixed\nh[4] sign\nout[2] fixed\n\nw1 h in~\nb1 h\nw2 out h~\ncount\n")
SCALED = parse("in[3] fixed\nh[4] positive\nout[2] fixed\n\nw1 h in~\nb1 h\nw2 out h&h^2@0.1\ncount\n")


@pytest.mark.parametrize("spec", [TANH, SCALED])
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64])
def test_whole_numbers_are_permuted_exactly_and_never_scaled(spec, dtype):
    params = random_params(spec, 1, seed=0)
    params = {
        name: (10 * value[0]).to(dtype) if name in ("w1", "count") else value[0] for name, value in params.items()
    }
    element = sample(spec, seed=3)
    assert any(bool((scale != 1).any()) for scale in element.scale.values())
    with pytest.raises(SpecMismatch, match=rf"'w1' is {str(dtype)[6:]}, and a scale or sign would act"):
        act(element, params, spec)
    with pytest.raises(SpecMismatch, match="'w1' is"):
        act_rows(element, spec, "w1")(range(4), lambda index: params["w1"][index])
    still = Element(element.perm, {name: torch.ones_like(scale) for name, scale in element.scale.items()})
    moved = act(still, params, spec)
    assert torch.equal(moved["w1"], params["w1"][element.perm["h"]])
    assert torch.equal(moved["count"], params["count"])
    # Where nothing scales it, a whole number beside scaled weights is lawful: a counter.
    floats = params | {"w1": params["w1"].double()}
    assert torch.equal(act(element, floats, spec)["count"], params["count"])
