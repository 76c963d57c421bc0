"""Sandbox: an answer runs in it without doing harm.

`processes` starts a zygote and hands it jobs. The zygote imports TensorFlow once and forks a child for each job;
`confinement` and `prohibitions` take from the child what an answer must not use, and `messages` carries cases to it and
arrays back. `measurement` and `seeds` also serve `check(…)` in a notebook, where nothing is confined.
"""
