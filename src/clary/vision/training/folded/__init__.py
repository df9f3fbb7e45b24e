"""The folded way of a bf16 step: where norms are frozen, a convolution, its norm and its activation are one call."""
