"""The kernel's functions that drivers call, by name: each is a routine over what the kernel has, with its ordering."""
