"""The quickstart's output as the README shows it."""
