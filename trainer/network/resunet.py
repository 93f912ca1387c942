"""c-ResUNet (paper, section 3) and cheaper relatives, as one parametrised Keras 3 model.

Every model here ends in two layers: `logit`, a 1x1 convolution, and `probability`, its sigmoid.
Training looks at the logit (stable losses), counting at the probability.
"""

from typing import Any

import keras
import msgspec
from keras import layers

Tensor = Any
"""A Keras tensor; Keras has no types."""

PAPER_PARAMETERS = 1_709_177
"""Parameters of c-ResUNet, those of batch normalisation included."""


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[network]` of a run: which architecture. The defaults are the paper's c-ResUNet with ReLU.

    Attributes:
        kind: a name in `trainer.network.baselines.REGISTRY`.
        activation: "relu" (shipped; quantises well) or "elu" (as the authors trained).
        colour_filters: filters of the learned 1x1 colour layer; 0 leaves the layer out.
        widths: filters per resolution level, finest first.
        bottleneck_filters: filters of each bottleneck block.
        bottleneck_kernel: edge of its kernels in pixels of that level.
        bottleneck_dilations: one dilation rate per bottleneck block; its length is their number.
        stem_stride: 1, or 2 or 4 to fold blocks of pixels into the first convolution.
        separable: depthwise-separable convolutions instead of full ones.
        batch_norm_momentum: of the moving statistics.
    """

    kind: str = "c-resunet"
    activation: str = "relu"
    colour_filters: int = 1
    widths: tuple[int, ...] = (16, 32, 64)
    bottleneck_filters: int = 128
    bottleneck_kernel: int = 5
    bottleneck_dilations: tuple[int, ...] = (1, 1)
    stem_stride: int = 1
    separable: bool = False
    batch_norm_momentum: float = 0.95


def norm_act(x: Tensor, network: Network) -> Tensor:
    """Batch normalisation, then the activation."""
    x = layers.BatchNormalization(momentum=network.batch_norm_momentum)(x)
    return layers.Activation(network.activation)(x)


def conv(x: Tensor, filters: int, kernel: int, network: Network, dilation: int = 1) -> Tensor:
    """A stride-1 convolution with "same" padding, full or depthwise-separable."""
    kind = layers.SeparableConv2D if network.separable and kernel > 1 else layers.Conv2D
    initialisers = (
        {"depthwise_initializer": "he_normal", "pointwise_initializer": "he_normal"}
        if kind is layers.SeparableConv2D
        else {"kernel_initializer": "he_normal"}
    )
    return kind(filters, kernel, padding="same", dilation_rate=dilation, **initialisers)(x)


def plain_block(x: Tensor, filters: int, network: Network) -> Tensor:
    """The first block: convolution, batch norm, activation, convolution; no shortcut."""
    return conv(norm_act(conv(x, filters, 3, network), network), filters, 3, network)


def residual_block(
    x: Tensor,
    filters: int,
    network: Network,
    kernel: int = 3,
    dilation: int = 1,
    shortcut: Tensor | None = None,
) -> Tensor:
    """Pre-activation residual block; the shortcut is `shortcut`, else x, through 1x1 where widths differ."""
    if shortcut is None:
        shortcut = x if x.shape[-1] == filters else conv(x, filters, 1, network)
    y = conv(norm_act(x, network), filters, kernel, network, dilation)
    y = conv(norm_act(y, network), filters, kernel, network, dilation)
    return layers.Add()([y, shortcut])


def up_block(x: Tensor, skip: Tensor, filters: int, network: Network) -> Tensor:
    """Transposed 2x2 convolution, concatenation with the skip, residual block around both."""
    up = layers.Conv2DTranspose(filters, 2, strides=2, padding="same")(x)
    return residual_block(layers.Concatenate()([up, skip]), filters, network, shortcut=up)


def head(x: Tensor, stem_stride: int = 1) -> Tensor:
    """Layers `logit` and `probability`; a strided stem is undone by a transposed convolution."""
    if stem_stride > 1:
        logit = layers.Conv2DTranspose(1, stem_stride, strides=stem_stride, name="logit")(x)
    else:
        logit = layers.Conv2D(1, 1, name="logit")(x)
    return layers.Activation("sigmoid", name="probability")(logit)


def stem(x: Tensor, network: Network) -> Tensor:
    """The learned 1x1 colour layer with batch norm, and the optional folding of pixel blocks."""
    if network.colour_filters:
        x = norm_act(conv(x, network.colour_filters, 1, network), network)
    if network.stem_stride > 1:
        x = layers.Conv2D(
            network.widths[0],
            network.stem_stride,
            strides=network.stem_stride,
            padding="same",
            kernel_initializer="he_normal",
        )(x)
    return x


def build_resunet(network: Network) -> keras.Model:
    """(batch, height, width, 3) float32 in [0, 1] to (batch, height, width, 1) probability.

    Height and width are free multiples of `total_stride(network)`.
    """
    inputs = keras.Input((None, None, 3), name="image")
    x = stem(inputs, network)
    skips = []
    for level, filters in enumerate(network.widths):
        x = residual_block(x, filters, network) if level else plain_block(x, filters, network)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    for dilation in network.bottleneck_dilations:
        x = residual_block(
            x, network.bottleneck_filters, network, network.bottleneck_kernel, dilation
        )
    for filters, skip in zip(reversed(network.widths), reversed(skips), strict=True):
        x = up_block(x, skip, filters, network)
    return keras.Model(inputs, head(x, network.stem_stride), name=network.kind.replace("-", "_"))


def logit_model(model: keras.Model) -> keras.Model:
    """The same weights, ending at the logit."""
    return keras.Model(model.input, model.get_layer("logit").output, name=f"{model.name}_logit")
