"""A driver that a kernel's tree has compiled, as a driver of the system: its code runs on the simulated CPUs."""
