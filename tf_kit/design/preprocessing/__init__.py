"""Preprocessing: center, scale and decorrelate the inputs before the first layer (topic 12).

Three layers learn from data once (`adapt`), transform inputs (`call`) and undo the transformation (`inverse`).
Their statistics are computed on the host in float64, batch by batch, so the data may be larger than memory.

`condition_number` measures the benefit: the number of steps that gradient descent needs on a linear unit grows
with the condition number of the inputs' covariance.

Shuffling, the last line of the slide, is `tf_kit.design.minibatches`.

Slide: PCA whitening is printed as "dividing every dimension by the corresponding eigenvalue". The eigenvalue
is a variance; division by its square root makes the variance 1. Division by the eigenvalue λ gives a direction
of variance λ the variance 1/λ: the spread is inverted, not equalized.

Reference: LeCun, Bottou, Orr, Müller, 1998, Efficient BackProp, section 4.3, doi:10.1007/3-540-49430-8_2.
"""

from tf_kit.design.preprocessing.condition import condition_number
from tf_kit.design.preprocessing.standardize import Standardize
from tf_kit.design.preprocessing.whitening import PCAWhitening, ZCAWhitening

__all__ = ["PCAWhitening", "Standardize", "ZCAWhitening", "condition_number"]
