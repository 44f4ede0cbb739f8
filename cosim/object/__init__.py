"""Relocatable objects of a kernel's tree: read, linked in memory, and what their debugging information says."""
