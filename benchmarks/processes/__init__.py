"""One process and several on the same distillation."""
