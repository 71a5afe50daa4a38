"""Job files: HCL2 text to API Job JSON, with every mistake reported at its place."""
