"""Lets the first call of each of torch's vector functions be made by one thread.

MKL, which PyTorch's x86 builds carry, chooses the kernel of a vector function when it is first
called. Where several threads make that call at once, one of them may compute its whole share with
the least accurate kernel (https://github.com/pytorch/pytorch/issues/188792): errors of 1.5e-4 in
half of a package's rotary table, where 4e-8 is usual. Later calls are right. How often it happens
is shown in docs/backends.md.
"""

from __future__ import annotations

# What `aten/src/ATen/cpu/vml.h` hands over to MKL, for float32 and float64.
FUNCTIONS = (
    "acos",
    "asin",
    "atan",
    "cos",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "log",
    "log10",
    "log2",
    "sin",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
)


def settle_vector_math() -> None:
    """Call every vector function with one element, which one thread computes."""
    import torch

    for dtype in (torch.float32, torch.float64):
        one = torch.ones(1, dtype=dtype)
        for name in FUNCTIONS:
            getattr(torch, name)(one)
