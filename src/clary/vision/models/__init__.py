"""Networks: tensors in, tensors out. ``build`` makes one from its description in a manifest."""

from clary.vision.models.classifier import Classifier, Scores, build, describe

__all__ = ["Classifier", "Scores", "build", "describe"]
