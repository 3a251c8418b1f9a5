"""Networks for small images, as the CIFAR papers build them."""
