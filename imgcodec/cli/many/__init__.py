"""Many files: which become which, and how they are done, by processes here or by a cluster.

May import dask and fsspec when asked for, `work`, `checks` and `process` of its parent, and of the
package itself (`__init__`) and `errors`, `files`, `format`, `pictures` and `runtime`.
"""
