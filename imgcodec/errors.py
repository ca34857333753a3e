"""Everything that the package refuses, one class per kind of reason."""


class AicError(Exception):
    """An expected refusal, told in one line; any other exception is a bug."""


class FormatError(AicError):
    """The bytes are not a valid `.aic` file, or would not become one."""


class ModelMismatchError(AicError):
    """The file was written with other weights than those at hand."""


class ImageError(AicError):
    """A picture that cannot be read, written or represented."""
