"""The network, and how pictures become its input: for training and for the endpoint alike."""

import timm
import torch
from torchvision import transforms


def build(name, classes, weights=None):
    """The network `name` of timm for so many classes, all equally likely at first, on pretrained weights.

    `weights` is a file of a state dict; without one they come from timm's hub.
    """
    network = timm.create_model(name, pretrained=weights is None)
    if weights is not None:
        network.load_state_dict(torch.load(weights, map_location="cpu"))
    network.reset_classifier(classes)
    torch.nn.init.zeros_(network.get_classifier().weight)
    return network


def pictures(name, size, training=False):
    """The transform from a PIL image to the network's input."""
    config = timm.create_model(name).default_cfg
    if training:
        crop = [transforms.RandomResizedCrop(size, scale=(0.5, 1)), transforms.RandomHorizontalFlip()]
    else:
        crop = [transforms.Resize(size * 8 // 7), transforms.CenterCrop(size)]
    return transforms.Compose(
        [
            transforms.Lambda(lambda image: image.convert("RGB")),
            *crop,
            transforms.ToTensor(),
            transforms.Normalize(config["mean"], config["std"]),
        ]
    )
