"""Pretraining: learn from unlabelled data first, then fine-tune on labels."""

from tf_kit.pretraining.autoencoder import Autoencoder, DenoisingAutoencoder, reconstruction_loss
from tf_kit.pretraining.greedy import Supervised, pretrain_greedily
from tf_kit.pretraining.pretrainer import Pretrainer, Trainer
from tf_kit.pretraining.randomness import ExampleRandom
from tf_kit.pretraining.rbm import RBM, DeepBeliefNetwork
from tf_kit.pretraining.transfer import Classifier, finetune, knn_accuracy, linear_probe

__all__ = [
    "RBM",
    "Autoencoder",
    "Classifier",
    "DeepBeliefNetwork",
    "DenoisingAutoencoder",
    "ExampleRandom",
    "Pretrainer",
    "Supervised",
    "Trainer",
    "finetune",
    "knn_accuracy",
    "linear_probe",
    "pretrain_greedily",
    "reconstruction_loss",
]
