"""RISC-V instructions as a compiled kernel has them: what their bits mean, and what they do; of simulation it knows
nothing."""
