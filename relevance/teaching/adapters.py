"""Teaching a large backbone through an adapter: LoRA (Hu et al. 2021, arXiv 2106.09685) by peft, and QLoRA (Dettmers et
al. 2023, arXiv 2305.14314), where bitsandbytes holds the backbone in 4 bits.

Low-rank additions go to every linear layer inside the stack: the attention's and the MLP's projections in every family
(QLoRA, §4, found all of them to be needed). They are merged on export, so a checkpoint loads without peft.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from enrich.errors import BadInput
from enrich.matrices import fast_dtype
from enrich.text_encoder import default_model_path
from relevance.teaching.checkpoint import TeacherSettings
from relevance.teaching.choices import Adapter
from relevance.teaching.layers import layer_of
from relevance.teaching.network import Backbone, load_backbone, prepare_to_train


def require(adapter: Adapter) -> None:
    """Raises BadInput where this machine cannot teach through `adapter`."""
    install = "pip install 'corkboard[llm]'"
    if adapter is not Adapter.NONE and importlib.util.find_spec("peft") is None:
        raise BadInput(f"expected peft for --adapter {adapter}, found none installed; {install}")
    if adapter is Adapter.QLORA and not torch.cuda.is_available():
        raise BadInput("expected a CUDA GPU for --adapter qlora, found none; use --adapter lora")
    if adapter is Adapter.QLORA and importlib.util.find_spec("bitsandbytes") is None:
        raise BadInput(f"expected bitsandbytes for --adapter qlora, found none installed; {install}")


def backbone_to_teach(settings: TeacherSettings) -> Backbone:
    """The settings' backbone, ready to train; with an adapter, its own weights are frozen.

    Raises BadInput where it cannot be loaded or this machine cannot teach through the adapter.
    """
    require(settings.adapter)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    frozen = torch.float32 if settings.adapter is Adapter.NONE else fast_dtype(device)
    quantization = _four_bits(frozen) if settings.adapter is Adapter.QLORA else None
    backbone = load_backbone(settings.backbone or str(default_model_path()), frozen, quantization)
    prepare_to_train(backbone, settings.backbone_dropout, settings.gradient_checkpointing)
    if settings.adapter is Adapter.NONE:
        return backbone
    return backbone._replace(network=_adapted(backbone.network, settings))


def exportable(network: Any) -> Any:
    """The backbone as it is saved, on the CPU: what an adapter learned is merged into it, in the backbone's own type.

    Weights of 4 bits are unpacked before: they are what the adapter was taught beside, and packing the sum would round
    it once more.
    """
    if not hasattr(network, "merge_and_unload"):
        return network.float().cpu()
    if getattr(network.base_model.model, "is_loaded_in_4bit", False):
        network = _unpacked(network)
    return network.merge_and_unload().cpu()


def _adapted(network: Any, settings: TeacherSettings) -> Any:
    import peft

    projections = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and layer_of(f"{name}.") is not None
    ]
    if not projections:
        raise BadInput(
            f"expected --adapter {settings.adapter} with a backbone of numbered layers, found none in "
            f"{type(network).__name__}; leave --adapter at none"
        )
    config = peft.LoraConfig(
        r=settings.lora_rank, lora_alpha=settings.lora_alpha, lora_dropout=0.0, target_modules=projections
    )
    return _beside(network, config)


def _beside(network: Any, config: Any) -> Any:
    """peft's model: the network, frozen, and new weights of the adapter."""
    import peft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks by a name that transformers is about to give up
        return peft.get_peft_model(network, config)


def _four_bits(computed_in: torch.dtype) -> BitsAndBytesConfig:
    """NF4 with packed constants, as in QLoRA."""
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computed_in,
    )


def _unpacked(network: Any) -> Any:
    """The same adapter beside the backbone's weights out of their 4 bits."""
    import peft

    config = network.peft_config["default"]
    learned = peft.get_peft_model_state_dict(network)
    again = _beside(network.unload().dequantize(), config)
    peft.set_peft_model_state_dict(again, learned)
    return again
