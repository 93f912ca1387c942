"""Every network by name: c-ResUNet, its ablations and the comparators of the study."""

from collections.abc import Callable

import keras
import msgspec
from keras import layers

from device.errors import SettingsError
from trainer.network.resunet import Network, Tensor, build_resunet, conv, head, norm_act, stem

Builder = Callable[[Network], keras.Model]
Block = Callable[[Tensor, int, Network], Tensor]


def _double_conv(x: Tensor, filters: int, network: Network) -> Tensor:
    """Convolution, batch norm, activation, twice (U-Net)."""
    for _ in range(2):
        x = norm_act(conv(x, filters, 3, network), network)
    return x


def _vgg_block(x: Tensor, filters: int, network: Network) -> Tensor:
    """Three plain convolutions without shortcut, as in the deeper stages of VGG-16."""
    for _ in range(3):
        x = norm_act(conv(x, filters, 3, network), network)
    return x


def _inception_block(x: Tensor, filters: int, network: Network) -> Tensor:
    """Parallel 1x1, 3x3, double 3x3 and pooled branches, a quarter of the filters each."""
    part = max(1, filters // 4)
    one = norm_act(conv(x, part, 1, network), network)
    three = norm_act(conv(norm_act(conv(x, part, 1, network), network), part, 3, network), network)
    five = norm_act(conv(x, part, 1, network), network)
    for _ in range(2):
        five = norm_act(conv(five, part, 3, network), network)
    pooled = layers.MaxPooling2D(3, strides=1, padding="same")(x)
    pooled = norm_act(conv(pooled, filters - 3 * part, 1, network), network)
    return layers.Concatenate()([one, three, five, pooled])


def _encoder_decoder(network: Network, block: Block, name: str) -> keras.Model:
    """U-shaped network of one kind of block; the decoder is U-Net's."""
    inputs = keras.Input((None, None, 3), name="image")
    x = stem(inputs, network)
    skips = []
    for filters in network.widths:
        x = block(x, filters, network)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = block(x, network.bottleneck_filters, network)
    for filters, skip in zip(reversed(network.widths), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(filters, 2, strides=2, padding="same")(x)
        x = _double_conv(layers.Concatenate()([x, skip]), filters, network)
    return keras.Model(inputs, head(x, network.stem_stride), name=name)


def _resunet(network: Network) -> keras.Model:
    """ResUNet without the wide bottleneck: one 3x3 residual block instead of two 5x5 ones."""
    plain = msgspec.structs.replace(network, bottleneck_kernel=3, bottleneck_dilations=(1,))
    return build_resunet(plain)


def _dilate(network: Network) -> keras.Model:
    """The bottleneck sees as far with dilated 3x3 kernels at a third of the cost."""
    dilated = msgspec.structs.replace(network, bottleneck_kernel=3, bottleneck_dilations=(2, 2))
    return build_resunet(dilated)


REGISTRY: dict[str, Builder] = {
    "c-resunet": build_resunet,
    "resunet": _resunet,
    "dilated": _dilate,
    "unet": lambda network: _encoder_decoder(network, _double_conv, "unet"),
    "vgg": lambda network: _encoder_decoder(network, _vgg_block, "vgg"),
    "inception": lambda network: _encoder_decoder(network, _inception_block, "inception"),
}
"""Name in `[network] kind` to builder; every model ends in `logit` and `probability`."""


def build_network(network: Network) -> keras.Model:
    """The network that `[network]` describes, randomly initialised.

    Raises:
        SettingsError: unknown kind.
    """
    if network.kind not in REGISTRY:
        raise SettingsError(
            f"There is no network {network.kind!r}; expected one of {', '.join(REGISTRY)}."
        )
    return REGISTRY[network.kind](network)
