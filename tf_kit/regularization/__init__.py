"""Regularization: methods that keep a network from memorizing its training set.

Norm penalties, early stopping, data augmentation, dropout of units and of weights, noise, batch
normalization.
"""

from tf_kit.regularization.augmentation import (
    AddNoise,
    Augmentation,
    ColorJitter,
    Composition,
    Cutout,
    GaussianBlur,
    GeometricAugmentation,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
    compose,
    example_keys,
    label_preserving,
    preset,
)
from tf_kit.regularization.batch_norm import BatchNorm
from tf_kit.regularization.dropout import DropConnect, Dropout
from tf_kit.regularization.early_stopping import EarlyStopping, equivalent_l2, retrain_on_all
from tf_kit.regularization.noise import GaussianNoise, NoisyBatchNorm
from tf_kit.regularization.penalties import L1, L2, ElasticNet, MaxNorm, SoftThreshold
from tf_kit.regularization.voting import predict_by_mask_sampling, predict_by_weight_scaling

__all__ = [
    "L1",
    "L2",
    "AddNoise",
    "Augmentation",
    "BatchNorm",
    "ColorJitter",
    "Composition",
    "Cutout",
    "DropConnect",
    "Dropout",
    "EarlyStopping",
    "ElasticNet",
    "GaussianBlur",
    "GaussianNoise",
    "GeometricAugmentation",
    "MaxNorm",
    "NoisyBatchNorm",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "SoftThreshold",
    "compose",
    "equivalent_l2",
    "example_keys",
    "label_preserving",
    "predict_by_mask_sampling",
    "predict_by_weight_scaling",
    "preset",
    "retrain_on_all",
]
