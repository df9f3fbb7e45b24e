"""An algorithm as another distribution brings one, without tensors: it counts, so that each step can be seen."""
