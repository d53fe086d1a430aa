"""Specs beyond plain layers (as text), and random parameters for them."""

import torch
from torch import Tensor

from weightspace.spec import SymmetrySpec, parse

TEXTS = {
    "batch norm": """
        in[3] fixed
        h0[5] nonzero
        h1[5] like h0 positive
        h2[6] positive
        out[2] fixed

        conv.weight h0 in~ .3 .3
        norm.running_mean h0
        norm.running_var h0^2@1e-05
        norm.weight h1&h0^sign
        norm.bias h1
        norm.num_batches_tracked
        mid.weight h2 h1~
        mid.bias h2
        head.weight out h2~
    """,
    "residual stream": """
        in[3] fixed
        s[6] positive
        h0[5] positive
        out[2] fixed

        embed.weight s in~
        up.weight h0 s~
        down.weight s h0~
        mix.weight s s~
        mix.bias s
        head.weight out s~
    """,
    "pre-activation": """
        in[3] fixed
        s[5] positive
        f0[5] like s positive
        v0[5] like s positive
        h[6] positive
        out[2] fixed

        embed.weight s in~
        norm.weight s^0&f0&v0^size
        norm.bias s^0&f0
        norm.running_mean s
        norm.running_var s^2&v0^2@1e-05
        up.weight h s^0&f0~
        down.weight s h~
        head.weight out s~
    """,
    "heads": """
        in[8] fixed
        a0[4]
        q0[12] within a0 nonzero
        v0[12] within a0 nonzero
        out[8] fixed

        query.weight q0 in~
        key.weight q0~ in~
        value.weight v0 in~
        merge.weight out v0~
    """,
    "heads with shared gains": """
        in[8] fixed
        a0[4]
        d0[3]
        q0[12] within a0 along d0
        v0[12] within a0 ordered nonzero
        out[8] fixed

        query.weight q0 in~
        key.weight q0 in~
        gain.weight d0
        value.weight v0 in~
        merge.weight out v0~
    """,
    "concatenation": """
        in[3] fixed
        h0[5] positive
        h1[4] sign
        h2[6]
        out[2] fixed

        a.weight h0 in~
        b.weight h1 h0~
        c.weight h2 h0~+h1*2~+in~
        head.weight out h2~
    """,
    "grouped convolution": """
        in[3] fixed
        g[2]
        h0[4] within g positive
        h1[8] within g positive
        out[2] fixed

        a.weight h0 in~ .3
        a.bias h0
        b.weight h1 h0/g~ .3
        head.weight out h1~
    """,
    "flattened map": """
        in[3] fixed
        h0[5] positive
        h1[6] sign
        out[2] fixed

        a.weight h0 in~ .3 .3
        a.bias h0
        b.weight h1 h0*4~
        b.bias h1
        head.weight out h1~
    """,
    "neurons of a space spread over parts of an axis": """
in[4] fixed
h0[2] positive
h1[2] positive
h2[4] ordered positive
h3[5] ordered positive
out[2] fixed

a.weight  h0{0}+h2{0}+h0{1}+h1{0}+h2{1}+h1{1}+h2{2,3} in~
a.bias    h0{0}+h2{0}+h0{1}+h1{0}+h2{1}+h1{1}+h2{2,3}
o.weight  h3 h2{2,3,0}~+h1~+h0{0}~+h2{0}~+h0{1}~
o.bias    h3
p.weight  out h3{4,2,0,1,3,0}~
p.bias    out
""",
}
SPECS: dict[str, SymmetrySpec] = {name: parse(text) for name, text in TEXTS.items()}


def networks_of(spec: SymmetrySpec, num: int, *, seed: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """``num`` stacked networks of normal numbers; variances are positive, counters are integers."""
    generator = torch.Generator().manual_seed(seed)
    params = {}
    for name in spec.axes:
        value = torch.randn((num, *spec.shape(name)), generator=generator, dtype=torch.float64)
        value = value.abs() + 0.1 if name.endswith("running_var") else value
        params[name] = torch.full((num,), 7) if name.endswith("tracked") else value.to(dtype)
    return params
