"""Where a captioner computes and in which precision, as the flags name them."""

from __future__ import annotations

import torch

from enrich.errors import BadInput
from enrich.matrices import fast_dtype

_NAMES = ("float32", "bfloat16", "float16")


def torch_device(name: str | torch.device | None) -> torch.device:
    """The device that is named; of None, a GPU where there is one. Raises BadInput."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch's, of a name it does not know or a chip that is not there
        said = str(error).strip().partition("\n")[0]
        raise BadInput(
            f"expected a device of torch's that is there (cpu, cuda, cuda:1), found {name} ({said}); name another"
        ) from error
    return device


def precision(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The dtype that is named; of None, the fastest that the device has units for. Raises BadInput."""
    if dtype is None:
        return fast_dtype(device)
    name = str(dtype).removeprefix("torch.")
    if name not in _NAMES:
        raise BadInput(f"expected a dtype of {', '.join(_NAMES)}, found {name}; name one of these")
    found: torch.dtype = getattr(torch, name)
    return found
