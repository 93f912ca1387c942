"""Losses on the logit, backend-neutral (paper, section 4.2)."""

from typing import Any

import keras
import msgspec
from keras import ops

from trainer.network.resunet import Tensor


class Loss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[loss]` of a phase. The defaults are the paper's weighted binary cross-entropy.

    Attributes:
        cell_weight, background_weight: class weights as printed in the paper (the authors' released
            code has them the other way round).
        map_amplitude: factor of the crowding map; 0 switches the maps off.
        sigma_px: sigma of the maps in pixels of a 1600x1200 frame.
        gap_weight: added to the weight of the background between two touching objects.
        small_weight: added to the weight of objects far smaller than the frame's others, and of their rim.
        dice: weight of a soft Dice term added to the cross-entropy.
        focal_gamma: exponent that turns down easy pixels; 0 is plain cross-entropy.
        smoothing: targets are pulled this far towards 0.5.
    """

    cell_weight: float = 1.0
    background_weight: float = 1.5
    map_amplitude: float = 1.0
    sigma_px: float = 25.0
    gap_weight: float = 0.0
    small_weight: float = 0.0
    dice: float = 0.0
    focal_gamma: float = 0.0
    smoothing: float = 0.0


def weighted_cross_entropy(
    target: Tensor, weight: Tensor, logit: Tensor, gamma: float = 0.0
) -> Tensor:
    """Weighted mean over pixels of binary cross-entropy x (1 - p of the truth)^gamma."""
    entropy = ops.maximum(logit, 0) - logit * target + ops.log1p(ops.exp(-ops.abs(logit)))
    if gamma:
        probability = ops.sigmoid(logit)
        entropy = entropy * ops.power(ops.abs(target - probability) + 1e-6, gamma)
    return ops.sum(weight * entropy) / ops.sum(weight)


def soft_dice(target: Tensor, logit: Tensor) -> Tensor:
    """1 - Dice of the whole batch; 0 is perfect."""
    probability = ops.sigmoid(logit)
    overlap = ops.sum(probability * target)
    return 1 - (2 * overlap + 1) / (ops.sum(probability) + ops.sum(target) + 1)


@keras.saving.register_keras_serializable(package="fluocount")
class PixelLoss(keras.losses.Loss):
    """Loss of one batch from y_true (batch, h, w, 2) = target and weight, y_pred (batch, h, w, 1) logit."""

    def __init__(
        self,
        dice: float = 0.0,
        focal_gamma: float = 0.0,
        smoothing: float = 0.0,
        name: str = "pixel_loss",
    ) -> None:
        super().__init__(name=name, reduction=None)
        self.dice, self.focal_gamma, self.smoothing = dice, focal_gamma, smoothing

    @classmethod
    def of(cls, loss: Loss) -> "PixelLoss":
        """From the settings; the weights themselves arrive in y_true."""
        return cls(loss.dice, loss.focal_gamma, loss.smoothing)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Scalar loss of a batch."""
        target, weight = y_true[..., :1], y_true[..., 1:]
        target = target * (1 - self.smoothing) + 0.5 * self.smoothing
        value = weighted_cross_entropy(target, weight, y_pred, self.focal_gamma)
        return value + self.dice * soft_dice(target, y_pred) if self.dice else value

    def get_config(self) -> dict[str, Any]:
        """For Keras's serialisation."""
        return {
            "dice": self.dice,
            "focal_gamma": self.focal_gamma,
            "smoothing": self.smoothing,
            "name": self.name,
        }
