"""Two drivers side by side: what each does in the same scene, operation by operation."""
