"""Every objective, candidate scope and weighting beside plain KL."""
