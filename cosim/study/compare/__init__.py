"""Two drivers side by side: the cells in which they differ, and what each of these costs."""
