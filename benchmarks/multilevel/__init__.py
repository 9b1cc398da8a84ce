"""Whether word-level distillation and the false-negative filter pay."""
