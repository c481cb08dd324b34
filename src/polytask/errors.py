"""The few kinds of errors and warnings that polytask raises.

Every message says what was wrong, where (task, column, row count) and what to do about it.
"""


class PolytaskError(Exception):
    """Base of all errors raised on purpose by polytask."""


class DataError(PolytaskError, ValueError):
    """The data cannot be used as given: a column, a target or a task is at fault."""


class SettingError(PolytaskError, ValueError):
    """A setting is unknown, unused or contradicts another one."""


class TrainingError(PolytaskError, RuntimeError):
    """Training cannot go on: a loss or a gradient is not finite, or a device is missing."""


class ModelFolderError(PolytaskError, ValueError):
    """A saved model cannot be read: files are missing, damaged, unsafe or of a newer schema."""


class MissingPackageError(PolytaskError, ImportError):
    """An optional package is needed for what was asked; the message holds the install command."""


class PolytaskWarning(UserWarning):
    """Something was done that the user may not expect; the message says what and why."""
