"""Training steps that are compiled or captured: kernels for processors, CUDA graphs."""
