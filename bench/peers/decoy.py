"""by_image.py with 5 % more work: of 20 images it computes one twice. The harness must see that."""

from bench.peers.by_image import kernels

conv, conv_grad_input, max_pool_values, avg_pool, relu = kernels(extra=0.05)
