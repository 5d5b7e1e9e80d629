"""One module per network; each defines NETWORK, a table of its layers for one image."""
