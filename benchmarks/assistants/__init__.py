"""Whether assistants pay at equal compute."""
