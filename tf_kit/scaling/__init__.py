"""Scaling: more devices, smaller models, less energy."""
