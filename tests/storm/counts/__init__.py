"""An algorithm as another distribution brings one, without a tensor: counts, where whoever kills it can see each step."""
