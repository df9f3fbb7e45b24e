"""An algorithm of another distribution, as small as one can be: the mean colour of an image, and a linear layer."""
