"""U-Net's decoder (Ronneberger et al. 2015, figure 1): a 572 x 572 image, convolutions unpadded.

Every level doubles the plane with a 2 x 2 transposed convolution, appends as many channels from
the encoder, and convolves twice; sizes are those in the figure.
"""

from bench.workloads.layers import conv, conv_transpose, network, relu

NETWORK = network(
    "unet",
    "U-Net's decoder, one 572 x 572 image",
    conv_transpose("up1", (1024, 28, 28), 512, 2, stride=2, bias=True),
    conv("dec1.conv1",    (1024, 56, 56), 512, 3, bias=True),
    relu("dec1.relu1",    (512, 54, 54)),
    conv("dec1.conv2",    (512, 54, 54), 512, 3, bias=True),
    conv_transpose("up2", (512, 52, 52), 256, 2, stride=2, bias=True),
    conv("dec2.conv1",    (512, 104, 104), 256, 3, bias=True),
    conv("dec2.conv2",    (256, 102, 102), 256, 3, bias=True),
    conv_transpose("up3", (256, 100, 100), 128, 2, stride=2, bias=True),
    conv("dec3.conv1",    (256, 200, 200), 128, 3, bias=True),
    conv("dec3.conv2",    (128, 198, 198), 128, 3, bias=True),
    conv_transpose("up4", (128, 196, 196), 64, 2, stride=2, bias=True),
    conv("dec4.conv1",    (128, 392, 392), 64, 3, bias=True),
    conv("dec4.conv2",    (64, 390, 390), 64, 3, bias=True),
    conv("classes",       (64, 388, 388), 2, 1, bias=True),
)  # fmt: skip
