"""Tables from and to CSV and Parquet files; the only place that asks for pandas.

Every way in which a file can be unreadable becomes a `DataError` that names the file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from polytask.errors import DataError, MissingPackageError, SettingError
from polytask.files import write_atomic

_CSV, _PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
_PACKED = (".gz", ".bz2", ".xz", ".zip", ".zst")
_SEPARATORS = (",", ";", "\t")


def read_table(path: Path, text_columns: Sequence[str] = ()) -> Any:
    """A CSV (also packed) or Parquet file as a pandas frame.

    Parameters
    ----------
    path : Path
    text_columns : sequence of str
        Columns of a CSV file that stay text: a task named 007 is another one than 7.

    Raises
    ------
    DataError
        When the file is missing, empty, damaged, or has a column name twice.
    """
    read = _read_parquet if _is_parquet(path) else lambda p: _read_csv(p, text_columns)
    if not path.is_file():
        raise DataError(f"There is no file '{path}'." if not path.exists() else f"'{path}' is not a file.")
    with warnings.catch_warnings():
        warnings.simplefilter("error", _pandas().errors.ParserWarning)  # it drops cells of overlong rows
        try:
            frame = read(path)
        except MissingPackageError:
            raise
        except DataError:
            raise
        except (ValueError, OSError, ImportError, OverflowError, Warning) as error:
            raise _unreadable(path, error) from error
    if not len(frame):
        raise DataError(f"'{path}' has column names but no rows.")
    return frame


def check_writable(path: Path) -> None:
    """Raise before the work starts if a table could not be written there.

    Raises
    ------
    SettingError
    """
    _is_parquet(path)
    if path.name.endswith(_PACKED):
        raise SettingError(f"'{path}': predictions are not written packed; end the name in .csv or .parquet.")
    if path.is_dir():
        raise SettingError(f"'{path}' is a folder; name a file for the predictions.")


def write_table(frame: Any, path: Path) -> None:
    """A frame as CSV or Parquet, by the ending of the name; the file is whole or not there."""
    if _is_parquet(path):
        buffer = io.BytesIO()
        _with_pyarrow(lambda: frame.to_parquet(buffer, index=False))
        write_atomic(path, buffer.getvalue())
    else:
        write_atomic(path, frame.to_csv(index=False, sep="\t" if path.suffix == ".tsv" else ","))


def _read_csv(path: Path, text_columns: Sequence[str]) -> Any:
    pandas = _pandas()
    separator = "\t" if ".tsv" in path.suffixes else _separator(path)
    head = pandas.read_csv(
        path, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    names = [name for name in head.iloc[0].tolist() if name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:  # pandas would rename the second one
        raise DataError(f"'{path}' has more than one column named '{twice}'; rename or drop one of them.")
    return pandas.read_csv(
        path,
        sep=separator,
        index_col=False,
        encoding="utf-8-sig",
        low_memory=False,
        dtype={name: str for name in text_columns if name in names},
    )


def _separator(path: Path) -> str:
    """The sign that splits the header line into most columns; a comma in doubt."""
    with _pandas().io.common.get_handle(path, "r", encoding="utf-8-sig", compression="infer") as opened:
        first = opened.handle.readline()
    return max(_SEPARATORS, key=first.count)


def _read_parquet(path: Path) -> Any:
    frame = _with_pyarrow(lambda: _pandas().read_parquet(path))
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index() if named else frame


def _is_parquet(path: Path) -> bool:
    """By the ending of the name; raises for endings that are neither."""
    name = path.name.lower()
    if name.endswith(_PARQUET):
        return True
    for packed in _PACKED:
        name = name.removesuffix(packed)
    if name.endswith(_CSV):
        return False
    raise SettingError(
        f"'{path}' is neither CSV ({', '.join(_CSV)}) nor Parquet ({', '.join(_PARQUET)}) by its ending."
    )


def _unreadable(path: Path, error: BaseException) -> DataError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, UnicodeDecodeError):
        reason = "it is not UTF-8 text; convert it, for example with iconv"
    return DataError(f"'{path}' cannot be read: {reason}")


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise MissingPackageError('Reading tables needs pandas: pip install "polytask[cli]"') from error
    return pandas


def _with_pyarrow(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except ImportError as error:
        raise MissingPackageError('Parquet files need pyarrow: pip install "polytask[cli]"') from error
