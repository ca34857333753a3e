"""Many files: which become which, and how they are done, by processes here or by a cluster.

May import `cli.process` of its parent, and of the package `files`, `format`, `runtime` and
`errors`. What is done with a file it does not know: see `Work` in `work.py`.
"""
