"""The dtype that a chip multiplies fastest, and matrices laid out for it: what captioner and teacher are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_ROWS = 1_024  # that weights are laid out for; any number may be multiplied
_operators: Any = torch.ops.mkldnn  # oneDNN's, as torch's own compiler calls them; torch is pinned to a minor version


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the chip computes in it (AVX512-BF16, AMX, CUDA ≥ 8.0), else float32."""
    if device.type == "cuda":  # one that is not in this machine is another's, of a cluster: as new as most
        here = torch.cuda.is_available()
        return torch.bfloat16 if not here or torch.cuda.is_bf16_supported() else torch.float32
    native = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.bfloat16 if device.type == "cpu" and native else torch.float32


class Matrix:
    """x ↦ activation(x W' + b), multiplied in `dtype`; the answer has that dtype too.

    In bf16 on a CPU, W is laid out once as oneDNN wants it and GELU applied as the rows are written.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, gelu: bool = False) -> None:
        weight, bias = weight.detach().to(dtype).contiguous(), bias.detach().to(dtype)
        self._laid_out = dtype is torch.bfloat16 and weight.device.type == "cpu" and has_operators()
        self._weight = _operators._reorder_linear_weight(weight, _ROWS) if self._laid_out else weight
        self._bias, self._dtype, self._gelu = bias, dtype, gelu

    def __call__(self, rows: Tensor) -> Tensor:
        rows = rows.to(self._dtype)
        if self._laid_out:
            activation, algorithm = ("gelu", "none") if self._gelu else ("none", "")
            laid: Tensor = _operators._linear_pointwise(rows, self._weight, self._bias, activation, [], algorithm)
            return laid
        made = functional.linear(rows, self._weight, self._bias)
        return functional.gelu(made) if self._gelu else made


def has_operators() -> bool:
    """Whether torch was built with oneDNN's linear layers."""
    return hasattr(_operators, "_reorder_linear_weight")
