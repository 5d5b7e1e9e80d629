"""The patch embedding of ViT-B/16 (Dosovitskiy et al. 2020), in both forms that make it.

A 16 x 16 convolution of stride 16 (torchvision's `conv_proj`) equals image_to_patches and a linear
layer over the 196 patches, once the weight's axes are put into the patches' order.
"""

from bench.workloads.layers import conv, linear, network, patches

NETWORK = network(
    "vit",
    "ViT-B/16's patch embedding, one 224 x 224 image",
    conv("conv_proj", (3, 224, 224), 768, 16, stride=16, bias=True),
    patches("patches", (224, 224, 3), 16),
    linear("linear", 768, 768, rows=(196,)),
)
