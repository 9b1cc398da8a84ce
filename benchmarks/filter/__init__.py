"""The false-negative filter judged by positives it was not told of."""
