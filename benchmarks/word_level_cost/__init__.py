"""What word-level losses cost in a training step."""
