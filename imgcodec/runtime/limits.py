"""Limits of the memory of a process, below what the machine has."""

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

PLENTY = 8 << 30  # bytes, which no picture's work comes near


def is_limited() -> bool:
    """Whether allocations may fail, as with `ulimit -v`, where others would go on.

    oneDNN leaves out parts of products then, and nobody is told: products of int8, and those of
    several threads. float32 in one thread always raises.
    """
    if resource is None:
        return False
    kinds = resource.RLIMIT_AS, resource.RLIMIT_DATA
    limits = [resource.getrlimit(kind)[0] for kind in kinds]
    return any(limit != resource.RLIM_INFINITY and limit < PLENTY for limit in limits)
