"""Search of a corpus: speed beside the host's evaluator, memory at two million passages, resume after a kill."""
