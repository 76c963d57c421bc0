"""Masked pretraining: a part of each example is hidden and predicted from the rest."""

from tf_kit.networks.transformer import PatchEncoder, TokenEncoder
from tf_kit.pretraining.masked.images import MaskedAutoencoder
from tf_kit.pretraining.masked.tokens import MaskedTokens
from tf_kit.pretraining.masked.vectors import MaskedVectors

__all__ = ["MaskedAutoencoder", "MaskedTokens", "MaskedVectors", "PatchEncoder", "TokenEncoder"]
